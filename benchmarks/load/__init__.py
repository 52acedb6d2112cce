"""An open-loop load generator: cameras that send on time, whatever the server does.

    python -m benchmarks.load --kind sightline --url ws://127.0.0.1:8000/ws/detect \
        --streams 4x15,2x30 --seconds 10 --deadline-ms 100 --out load.json
    python -m benchmarks.load --kind http --url http://127.0.0.1:8000/detect --field file …

Every frame has a time at which it is due, set before the run begins. It is sent then, or as
soon after as the generator can, and its age is counted from then in any case: a server that
stalls can't hide frames that were never sent. Each frame ends as exactly one of answered,
dropped, failed and lost.
"""
