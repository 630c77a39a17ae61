"""People, groups and cards from a file: uploaded, its columns named, every row looked at, then worked off.

`columns` a file may have, `cells` and what they say, `plans` of how a file is taken; `files` on their way, `judging` of
what a row would do, `checking` all of them by a tick, `applying` each once.
"""
