"""Pictures decoded by processes of their own, for machines with more cores than one interpreter can keep busy.

Nothing is imported here: `mtgen.processes.child` starts in a tenth of a second because it knows no table.
"""
