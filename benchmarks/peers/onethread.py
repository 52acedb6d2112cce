# mypy: disable-error-code="misc, assignment"
"""One thread for peers that make their ONNX Runtime sessions themselves and have no setting for it.

By default the runtime starts a thread for each core of the machine and binds it there, which
takes it off the one core that the server was given.
"""

from __future__ import annotations

from typing import Any

import onnxruntime


class OneThread(onnxruntime.InferenceSession):
    """A session that runs in the thread that calls it, whatever it was asked for."""

    def __init__(
        self, path_or_bytes: Any, sess_options: Any = None, *args: Any, **named: Any
    ) -> None:
        options = sess_options or onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        super().__init__(path_or_bytes, options, *args, **named)


def use_one_thread() -> None:
    """Make every session of this process, from now on, one of a single thread."""
    onnxruntime.InferenceSession = OneThread
