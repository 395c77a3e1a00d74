import JSON

/// How a text is cut into pieces: `pre_tokenizer` of tokenizer.json.
enum PreTokenizer: Equatable {
  /// Rules, and then bytes as characters.
  case byteLevel([SplitRule])
  /// BERT's: at whitespace, which goes, and around punctuation.
  case bert

  init(_ value: JSONValue?) throws(TokenizerComplaint) {
    guard let value, value != .null else {
      throw TokenizerComplaint(
        "the file has no pre_tokenizer; ByteLevel or BertPreTokenizer is needed")
    }
    var steps = [value]
    if value["type"]?.text == "Sequence" {
      steps = value["pretokenizers"]?.elements ?? []
    }
    if steps.count == 1, steps[0]["type"]?.text == "BertPreTokenizer" {
      self = .bert
      return
    }
    var rules: [SplitRule] = []
    var isByteLevel = false
    for step in steps {
      guard !isByteLevel else {
        throw TokenizerComplaint("ByteLevel must be the last step of the pre_tokenizer")
      }
      switch step["type"]?.text {
      case "ByteLevel":
        isByteLevel = true
        // Without a word about it, Hugging Face takes both as true.
        guard step["add_prefix_space"]?.flag == false else {
          throw TokenizerComplaint(
            "a ByteLevel pre_tokenizer with add_prefix_space is not supported")
        }
        if step["use_regex"]?.flag ?? true { rules.append(.gpt2) }
      case "Digits":
        guard step["individual_digits"]?.flag == true else {
          throw TokenizerComplaint(
            "a Digits pre_tokenizer without individual_digits is not supported")
        }
        rules.append(.digits)
      case "Split": rules.append(try Self.split(step))
      case let type:
        throw TokenizerComplaint(
          "the pre_tokenizer \(quoted(type ?? "?")) is not supported; ByteLevel, Split, Digits, "
            + "a Sequence of them and BertPreTokenizer are")
      }
    }
    guard isByteLevel else {
      throw TokenizerComplaint(
        "the pre_tokenizer does not end with ByteLevel; only byte-level BPE is supported")
    }
    self = .byteLevel(rules)
  }

  private static func split(_ step: JSONValue) throws(TokenizerComplaint) -> SplitRule {
    guard let pattern = step["pattern"]?["Regex"]?.text else {
      throw TokenizerComplaint(
        "a Split pre_tokenizer without a regular expression is not supported")
    }
    guard let rule = SplitRule(pattern: pattern) else {
      throw TokenizerComplaint(
        "the pre_tokenizer splits by a regular expression that is not known: \(quoted(pattern))")
    }
    let invert = step["invert"]?.flag ?? false
    switch (step["behavior"]?.text, invert) {
    case ("Isolated", false): return rule
    // What stands between matches is removed, which is nothing.
    case ("Removed", true) where rule.matchesEverything: return rule
    case (let behavior, _):
      throw TokenizerComplaint(
        "a Split pre_tokenizer with behavior \(quoted(behavior ?? "?"))"
          + (invert ? ", inverted," : "") + " is not supported; Isolated is")
    }
  }
}
