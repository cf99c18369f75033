"""The benchmark: other loaders and mtgen on the same work, each in a process of its own, checked before it is timed.

    settings   what the user chooses                    values, marks   rows and pictures that tell who they are
    data       the folder of pictures and stores        suites          who takes part in what
    contenders one file per family                      contender       the process that one of them runs in
    proof      is what was delivered right?             runner          starts processes, rounds in turn
    summary    medians, ratios, efficiency              report, page, chart   what comes out

Nothing here is imported by the rest of mtgen.
"""

from __future__ import annotations
