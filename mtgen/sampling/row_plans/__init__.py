"""Laws over rows and the orders of an epoch that they give: weighted, balanced, without replacement, by share."""
