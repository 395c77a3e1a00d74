/// The OpenAI API before an engine.
