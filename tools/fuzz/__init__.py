"""Campaigns that feed netc with hostile input: seeded, bounded, repeatable.

    python tools/fuzz                                  list the campaigns
    python tools/fuzz text --inputs 1000000 --jobs 8   run one, for instance overnight
    python tools/fuzz all --seconds 600                run each for ten minutes
    python tools/fuzz replay tests/tools/findings/*    run saved inputs again

An input is a `Case`: files, and command lines that are run in their directory. Only a result or a diagnostic is
correct: a traceback, a crash of the process, an unknown exit status, a failure without a message, control characters in
the output, a temporary file that remains, and more memory or time than allowed are findings. Findings with the same
cause are one finding. The smallest input found for it is saved in a directory, which `replay` and
tests/tools/test_fuzz.py run again.
"""
