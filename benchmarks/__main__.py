"""`python -m benchmarks`: all claims, one report."""

from benchmarks.report import main

if __name__ == "__main__":
    main()
