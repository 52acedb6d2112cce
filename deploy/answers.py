"""End with 0 if the program in this container takes work: `python answers.py PORT PATH`.

No more than the standard library's HTTP client is loaded: it runs every few seconds.
"""

import sys
from http.client import HTTPConnection, HTTPException

_WAIT_S = 4.0


def answers(port: int, path: str) -> bool:
    """Tell whether a GET on this machine is answered with a status of 2xx."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_WAIT_S)
    try:
        connection.request("GET", path)
        return 200 <= connection.getresponse().status < 300
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not answers(int(sys.argv[1]), sys.argv[2]))
