/// One step of a pre-tokenizer: it cuts a text into the matches of a regular expression and what
/// stands between them. BPE never merges across a cut.
///
/// Regular expressions are known by their text and scanned by hand: real ones are few, and a
/// regular expression from a stranger's file may take exponential time.
package enum SplitRule: Sendable, Equatable {
  /// GPT-2's, which is also what `ByteLevel` with `use_regex` does.
  case gpt2
  /// Llama 3's and its relatives: numbers are cut into `digits` characters (3 in Llama 3, 1 in
  /// Qwen), and marks count as letters or not (Qwen 3.5).
  case words(digits: Int, marks: Bool)
  /// The last of DeepSeek-V3's three.
  case deepSeekWords
  /// `\p{N}{1,3}`, and `\p{N}` with 1.
  case numbers(upTo: Int)
  /// `Digits` with `individual_digits`: numbers in the sense of Rust.
  case digits
  /// `[\r\n]`.
  case lineBreak
  /// `\s+$`.
  case trailingSpace
  /// `[…]+`, or `\s?[…]+` with a space before it.
  case run(ScalarRun)

  package struct ScalarRun: Sendable, Equatable {
    enum Members: Sendable, Equatable {
      case set(ScalarSet)
      /// Bits of `CharacterClass`.
      case classes(UInt8)
    }
    let members: Members
    let takesSpace: Bool
  }

  static let gpt2Pattern = #"""
    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
    """#

  /// The known patterns. Line breaks stand in them as `\r` and `\n`.
  private static let patterns: [(text: String, rule: SplitRule)] = [
    (gpt2Pattern, .gpt2),
    (
      // Llama 3. Also GLM 4, DBRX, Falcon 3.
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"#
        + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
      .words(digits: 3, marks: false)
    ),
    (
      // Qwen 2, 2.5 and 3.
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"#
        + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
      .words(digits: 1, marks: false)
    ),
    (
      // Qwen 3.5.
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"#
        + #"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
      .words(digits: 1, marks: true)
    ),
    (
      // DeepSeek-V3, R1.
      ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##
        + #"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
      .deepSeekWords
    ),
    (#"\p{N}{1,3}"#, .numbers(upTo: 3)),
    (#"\p{N}"#, .numbers(upTo: 1)),
    (#"[\r\n]"#, .lineBreak),
    (#"\s+$"#, .trailingSpace),
    // DeepSeek-Coder.
    (#"\s?\p{L}+"#, .run(ScalarRun(members: .classes(CharacterClass.letter), takesSpace: true))),
    (
      #"\s?\p{P}+"#,
      .run(ScalarRun(members: .classes(CharacterClass.punctuation), takesSpace: true))
    ),
  ]

  /// The rule of a regular expression; nil where it is none that we know.
  init?(pattern: String) {
    // Some files escape line breaks for the regular expression, some only for JSON.
    var scalars: [Unicode.Scalar] = []
    for scalar in pattern.unicodeScalars {
      switch scalar {
      case "\r": scalars += ["\\", "r"]
      case "\n": scalars += ["\\", "n"]
      default: scalars.append(scalar)
      }
    }
    // By scalars: strings compare canonically equivalent ones as equal.
    if let known = Self.patterns.first(where: { $0.text.unicodeScalars.elementsEqual(scalars) }) {
      self = known.rule
      return
    }
    // DeepSeek-V2 and V3 list scalars in brackets.
    var rest = scalars[...]
    let takesSpace = rest.starts(with: #"\s?"#.unicodeScalars)
    if takesSpace { rest = rest.dropFirst(3) }
    guard rest.first == "[", rest.suffix(2).elementsEqual("]+".unicodeScalars),
      let set = ScalarSet(bracket: rest.dropFirst().dropLast(2))
    else { return nil }
    self = .run(ScalarRun(members: .set(set), takesSpace: takesSpace))
  }

  /// Every character is part of a match, so that nothing stands between matches.
  var matchesEverything: Bool {
    switch self {
    case .gpt2, .words: true
    case .deepSeekWords, .numbers, .digits, .lineBreak, .trailingSpace, .run: false
    }
  }
}
