"""Draw the first page, a table and a chart, while the frontend's image is built.

That shows on what is left in the image that nothing needed was left out, and leaves the bytecode.
"""

import sys
from pathlib import Path

from streamlit.testing.v1 import AppTest

_LIMIT_S = 120.0
_TABLE = """import streamlit
streamlit.dataframe([{"a": 1}])
streamlit.vega_lite_chart([{"a": 1}], {"mark": "point"})
"""


def main() -> int:
    """Return the exit status: 1 if a page ended in an exception, which is shown."""
    pages = (AppTest.from_file(Path("app.py").resolve()), AppTest.from_string(_TABLE))
    failed = [error for page in pages for error in page.run(timeout=_LIMIT_S).exception]
    for error in failed:
        print(error.message, *error.stack_trace, sep="\n", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
