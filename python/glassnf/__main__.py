"""``python -m glassnf`` is ``glassnf``."""

from .cli import main

if __name__ == "__main__":
    main()
