"""``python -m glassnf`` is ``glassnf``."""

from ._entry import main

if __name__ == "__main__":
    main()
