/// What runs in the next step, and in which KV blocks. Pure.
