"""``python -m headrace_controller.demo``"""

import sys

from headrace_controller.demo.story import main

if __name__ == "__main__":
    sys.exit(main())
