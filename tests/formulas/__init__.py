"""The formulas, checked against vectors and against their own promises."""
