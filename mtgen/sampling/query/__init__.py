"""The `sample by` language: text in, arrays out. Conditions choose rows, weights say how often each is drawn.

    condition = query.parse_condition("age BETWEEN 20 AND 40 AND contains(findings, 'Hernia')")
    weights = query.parse_weights("max_weight(contains(findings, 'Hernia'): 20, True: 1)")
    clause = query.parse_clause("WHERE split == 'train' SAMPLE BY age REPLACE FALSE LIMIT 10 PERCENT")

The whole language is on one page: docs/sample_by.md. Nothing here reads a file or draws a row.

    grammar    the grammar, and text to parse tree
    building   parse tree to nodes
    nodes      the parts of an expression
    globs      text in quotes, `*` and `?`
    places     messages that show the query with a mark under the place
    values     what an expression is worth over a block of rows
    columns    columns of a DataFrame to values
    compare, arithmetic, lists, functions    what operators and functions do
    evaluation an expression over the rows of a table, block by block
    expressions, clause    the public classes
"""

from mtgen.sampling.query.clause import Clause, Percent, parse_clause
from mtgen.sampling.query.expressions import Condition, Weights, parse_condition, parse_weights

__all__ = ["Clause", "Condition", "Percent", "Weights", "parse_clause", "parse_condition", "parse_weights"]
