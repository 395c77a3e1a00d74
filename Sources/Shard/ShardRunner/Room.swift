/// Executes a layer plan on a backend, over a group of ranks.
