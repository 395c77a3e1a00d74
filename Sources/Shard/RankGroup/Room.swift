/// Ranks as processes: how they start, talk, sum and end.
