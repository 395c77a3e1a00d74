/// Cuts one text by the rules of a pre-tokenizer, each rule within the pieces of the one before.
/// Each rule walks the text once, or a run of it twice: linear whatever the text.
struct PieceScanner {
  /// Valid UTF-8.
  let text: Bytes
  private let rules: [SplitRule]
  private let table = CharacterClass.table

  init(_ text: Bytes, _ rules: [SplitRule]) {
    self.text = text
    self.rules = rules
  }

  /// The pieces of a part of the text, in order. None is empty.
  func forEachPiece(in part: Range<Int>, _ body: (Range<Int>) -> Void) {
    forEachPiece(in: part, from: 0, body)
  }

  private func forEachPiece(in part: Range<Int>, from rule: Int, _ body: (Range<Int>) -> Void) {
    guard !part.isEmpty else { return }
    guard rule < rules.count else { return body(part) }
    var gap = part.lowerBound
    var place = part.lowerBound
    let end = part.upperBound
    // The one rule that looks at the end of the piece: found once, not at each place.
    let trailing = rules[rule] == .trailingSpace ? startOfTrailingSpace(part) : end
    while place < end {
      let match = place >= trailing ? end : self.match(rules[rule], at: place, end: end)
      guard let match else {
        place = text.scalar(at: place).next
        continue
      }
      if gap < place { forEachPiece(in: gap..<place, from: rule + 1, body) }
      forEachPiece(in: place..<match, from: rule + 1, body)
      place = match
      gap = match
    }
    if gap < end { forEachPiece(in: gap..<end, from: rule + 1, body) }
  }

  /// Where the match of the rule that begins here ends; nil where none begins.
  private func match(_ rule: SplitRule, at place: Int, end: Int) -> Int? {
    switch rule {
    case .gpt2: gpt2(at: place, end: end)
    case .words(let digits, let marks): words(at: place, end: end, digits: digits, marks: marks)
    case .deepSeekWords: deepSeekWords(at: place, end: end)
    case .numbers(let limit): run(CharacterClass.number, from: place, end: end, limit: limit)
    case .digits: run(CharacterClass.digit, from: place, end: end, limit: 1)
    case .lineBreak: isLineBreak(place) ? place + 1 : nil
    case .trailingSpace: nil
    case .run(let members): run(members, from: place, end: end)
    }
  }

  // MARK: The patterns

  private func gpt2(at place: Int, end: Int) -> Int {
    if let contraction = contraction(at: place, end: end, ignoringCase: false) {
      return contraction
    }
    let first = text[place] == 0x20 && place + 1 < end ? place + 1 : place
    let (mask, next) = peek(first)
    if mask & CharacterClass.letter != 0 { return run(CharacterClass.letter, from: next, end: end) }
    if mask & CharacterClass.number != 0 { return run(CharacterClass.number, from: next, end: end) }
    if mask & CharacterClass.space == 0 {
      return run(
        notOf: CharacterClass.letter | CharacterClass.number | CharacterClass.space, from: next,
        end: end)
    }
    return space(at: place, end: end)
  }

  private func words(at place: Int, end: Int, digits: Int, marks: Bool) -> Int {
    let letters = marks ? CharacterClass.letter | CharacterClass.mark : CharacterClass.letter
    let number = CharacterClass.number
    if let contraction = contraction(at: place, end: end, ignoringCase: true) { return contraction }
    let (mask, next) = peek(place)
    // An optional character that is no letter, number nor line break, then letters.
    if mask & (CharacterClass.letter | number) == 0, !isLineBreak(place), next < end {
      let (second, behind) = peek(next)
      if second & letters != 0 { return run(letters, from: behind, end: end) }
    }
    if mask & letters != 0 { return run(letters, from: next, end: end) }
    if let run = run(number, from: place, end: end, limit: digits) { return run }
    let first = text[place] == 0x20 && place + 1 < end ? place + 1 : place
    let excluded = letters | number | CharacterClass.space
    let (other, behind) = peek(first)
    if other & excluded == 0 {
      return lineBreaks(from: run(notOf: excluded, from: behind, end: end), end: end)
    }
    return space(at: place, end: end, keepingLineBreaks: true)
  }

  private func deepSeekWords(at place: Int, end: Int) -> Int? {
    let letters = CharacterClass.letter | CharacterClass.mark
    let signs = CharacterClass.punctuation | CharacterClass.symbol
    let (mask, next) = peek(place)
    // Punctuation of ASCII, then letters of ASCII.
    if mask & signs != 0, text[place] < 0x80, next < end, isASCIILetter(next) {
      var place = next
      while place < end, isASCIILetter(place) { place += 1 }
      return place
    }
    if mask & (CharacterClass.letter | signs) == 0, !isLineBreak(place), next < end {
      let (second, behind) = peek(next)
      if second & letters != 0 { return run(letters, from: behind, end: end) }
    }
    if mask & letters != 0 { return run(letters, from: next, end: end) }
    let first = text[place] == 0x20 && place + 1 < end ? place + 1 : place
    let (other, behind) = peek(first)
    if other & signs != 0 { return lineBreaks(from: run(signs, from: behind, end: end), end: end) }
    guard mask & CharacterClass.space != 0 else { return nil }
    return space(at: place, end: end, keepingLineBreaks: true)
  }

  /// `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll`, `'d`.
  private func contraction(at place: Int, end: Int, ignoringCase: Bool) -> Int? {
    guard text[place] == UInt8(ascii: "'"), place + 1 < end else { return nil }
    let bit: UInt8 = ignoringCase ? 0x20 : 0
    func letter(_ place: Int) -> UInt8 { place < end ? text[place] | bit : 0 }
    switch letter(place + 1) {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
      return place + 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"):
      return letter(place + 2) == UInt8(ascii: "e") ? place + 3 : nil
    case UInt8(ascii: "l"):
      return letter(place + 2) == UInt8(ascii: "l") ? place + 3 : nil
    default:
      // U+017F, the long s, is an s to who ignores case.
      guard ignoringCase, place + 2 < end, text[place + 1] == 0xc5, text[place + 2] == 0xbf else {
        return nil
      }
      return place + 3
    }
  }

  /// `\s*[\r\n]+|\s+(?!\S)|\s+`, the first only where asked for. A whitespace stands here.
  private func space(at place: Int, end: Int, keepingLineBreaks: Bool = false) -> Int {
    var last = place
    var behind = place
    var afterLineBreak: Int?
    while behind < end {
      let (mask, next) = peek(behind)
      guard mask & CharacterClass.space != 0 else { break }
      if isLineBreak(behind) { afterLineBreak = next }
      last = behind
      behind = next
    }
    if keepingLineBreaks, let afterLineBreak { return afterLineBreak }
    // The last one goes with the word behind it, unless it is the only one.
    return behind == end || last == place ? behind : last
  }

  private func startOfTrailingSpace(_ part: Range<Int>) -> Int {
    var place = part.upperBound
    while place > part.lowerBound {
      let (scalar, start) = text.scalar(before: place)
      guard table[scalar] & CharacterClass.space != 0 else { break }
      place = start
    }
    return place
  }

  // MARK: Runs

  @inline(__always)
  private func peek(_ place: Int) -> (mask: UInt8, next: Int) {
    let (scalar, next) = text.scalar(at: place)
    return (table[scalar], next)
  }

  private func isLineBreak(_ place: Int) -> Bool { text[place] == 0x0a || text[place] == 0x0d }

  private func isASCIILetter(_ place: Int) -> Bool { (0x61...0x7a).contains(text[place] | 0x20) }

  private func lineBreaks(from place: Int, end: Int) -> Int {
    var place = place
    while place < end, isLineBreak(place) { place += 1 }
    return place
  }

  private func run(_ wanted: UInt8, from place: Int, end: Int) -> Int {
    var place = place
    while place < end {
      let (mask, next) = peek(place)
      guard mask & wanted != 0 else { break }
      place = next
    }
    return place
  }

  private func run(notOf excluded: UInt8, from place: Int, end: Int) -> Int {
    var place = place
    while place < end {
      let (mask, next) = peek(place)
      guard mask & excluded == 0 else { break }
      place = next
    }
    return place
  }

  /// At least one and at most `limit`; nil where none stands here.
  private func run(_ wanted: UInt8, from start: Int, end: Int, limit: Int) -> Int? {
    var place = start
    var left = limit
    while left > 0, place < end {
      let (mask, next) = peek(place)
      guard mask & wanted != 0 else { break }
      place = next
      left -= 1
    }
    return place > start ? place : nil
  }

  private func run(_ run: SplitRule.ScalarRun, from start: Int, end: Int) -> Int? {
    func contains(_ place: Int) -> Bool {
      let scalar = text.scalar(at: place).value
      switch run.members {
      case .set(let set): return set.contains(scalar)
      case .classes(let mask): return table[scalar] & mask != 0
      }
    }
    var place = start
    if run.takesSpace {
      let (mask, next) = peek(start)
      if mask & CharacterClass.space != 0, next < end, contains(next) { place = next }
    }
    let first = place
    while place < end, contains(place) { place = text.scalar(at: place).next }
    return place > first ? place : nil
  }
}
