"""``python -m headrace_jobs KIND …``: run one job and write its report.

Standard output ends with one line of JSON: ``{"report": key, "verdict": …, "severity": …}``, or ``{"error": {…}}``.
Progress and the log are lines of JSON on standard error. Exit codes: 0 done, 1 failed, 2 usage.
"""

import sys

from headrace_jobs.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
