extension UsageScan {
  private static let lf: UInt8 = 0x0a
  private static let cr: UInt8 = 0x0d

  @inline(__always)
  mutating func walk(_ base: UnsafeRawPointer, to end: Int, lines: Bool) {
    var position = 0
    while position < end {
      if state == .search {
        position = Self.firstHint(base, from: position, to: end, lines: lines)
        guard position < end else { return }
        if base[position] == TextScan.quote {
          let before = position > 0 ? base[position &- 1] : previous
          if before != TextScan.backslash { (state, matched) = (.pattern, 1) }
          position &+= 1
          continue
        }
      }
      let byte = base[position]
      if lines, byte == Self.lf || byte == Self.cr {
        position &+= 1
        takeLineEnd(byte)
        continue
      }
      switch state {
      case .lineStart:
        let field: StaticString = "data:"
        endedByCR = false
        if byte == field.utf8Start[matched] {
          matched &+= 1
          if matched == field.utf8CodeUnitCount { state = .dataStart }
        } else {
          state = .otherLine
        }
        position &+= 1
      case .otherLine:
        position = Self.firstLineEnd(base, from: position, to: end)
      case .dataStart:
        if byte == 0x20 || byte == 0x09 {
          position &+= 1
        } else if byte == UInt8(ascii: "[") {
          state = .otherLine
        } else {
          hasData = true
          state = .search
        }
      case .pattern:
        let pattern: StaticString = "\"usage\""
        if byte == pattern.utf8Start[matched] {
          matched &+= 1
          if matched == pattern.utf8CodeUnitCount { state = .colon }
          position &+= 1
        } else {
          state = .search
        }
      case .colon, .brace:
        let wanted = state == .colon ? UInt8(ascii: ":") : UInt8(ascii: "{")
        if byte == wanted {
          if state == .colon { state = .brace } else { startWalk() }
          position &+= 1
        } else if TextScan.isSpace(byte) {
          position &+= 1
        } else {
          state = .search
        }
      case .walk, .number:
        takeStructure(byte)
        position &+= 1
      case .text:
        let stop = TextScan.firstSpecial(base, from: position, to: end)
        keep(base + position, stop &- position)
        position = stop
        guard position < end else { return }
        switch base[position] {
        case TextScan.quote: state = .walk
        case TextScan.backslash: state = .textEscape
        case Self.lf where lines, Self.cr where lines: continue
        default: break
        }
        position &+= 1
      case .textEscape:
        // No name that matters has an escape.
        nameCount = Self.nameBytesLimit + 1
        state = .text
        position &+= 1
      case .search: break
      }
    }
  }

  // MARK: Lines

  private mutating func takeLineEnd(_ byte: UInt8) {
    if byte == Self.lf, endedByCR {
      endedByCR = false
      return
    }
    if state == .lineStart, matched == 0 {
      if hasData { events &+= 1 }
      hasData = false
    } else {
      endLine()
    }
    endedByCR = byte == Self.cr
    (state, matched) = (.lineStart, 0)
  }

  /// All brackets are closed: how deep the usage stood is known.
  mutating func endLine() {
    guard state == .walk, found != TokenUsage() else { return }
    let height = holder &- depth
    if height == 1 {
      isOutermostKnown = true
    } else if height != 2 || !isStream || isOutermostKnown {
      return
    }
    var usage = usage ?? TokenUsage()
    usage.update(by: found)
    self.usage = usage
    found = TokenUsage()
  }

  // MARK: Behind a usage's brace

  private mutating func startWalk() {
    state = .walk
    (holder, depth) = (0, 1)
    found = TokenUsage()
    isReading = true
    (key, nameCount) = (.other, 0)
  }

  private mutating func takeStructure(_ byte: UInt8) {
    if state == .number {
      if byte &- 0x30 < 10 {
        if number < Self.numberLimit { number = number &* 10 &+ Int(byte & 15) }
        return
      }
      state = .walk
      // Fractions and exponents count no tokens.
      if byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") || TextScan.isSpace(byte) {
        endNumber()
      }
      key = .other
    }
    switch byte {
    case TextScan.quote: (state, nameCount) = (.text, 0)
    case UInt8(ascii: ":"): key = matchName()
    case UInt8(ascii: "{"):
      if key == .usage, depth <= holder {
        (holder, found, isReading) = (depth, TokenUsage(), true)
      }
      key = .other
      depth &+= 1
    case UInt8(ascii: "["):
      key = .other
      depth &+= 1
    case UInt8(ascii: "}"), UInt8(ascii: "]"):
      key = .other
      depth &-= 1
      if depth <= holder { isReading = false }
    case UInt8(ascii: ","): key = .other
    case 0x30...0x39:
      if isReading, depth == holder &+ 1, key != .other, key != .usage {
        (state, number) = (.number, Int(byte & 15))
      }
    case UInt8(ascii: "-"): key = .other
    default: break
    }
  }

  private mutating func endNumber() {
    let tokens = min(number, Self.numberLimit)
    switch key {
    case .input: found.input = tokens
    case .output: found.output = tokens
    case .total: found.total = tokens
    case .other, .usage: break
    }
  }

  private mutating func keep(_ bytes: UnsafeRawPointer, _ count: Int) {
    guard nameCount &+ count <= Self.nameBytesLimit else {
      nameCount = Self.nameBytesLimit + 1
      return
    }
    for index in 0..<count {
      name[nameCount &+ index] = bytes[index]
    }
    nameCount &+= count
  }

  private func matchName() -> Key {
    switch nameCount {
    case 5 where isName("usage"): .usage
    case 13 where isName("prompt_tokens"): .input
    case 12 where isName("input_tokens"): .input
    case 17 where isName("completion_tokens"): .output
    case 13 where isName("output_tokens"): .output
    case 12 where isName("total_tokens"): .total
    default: .other
    }
  }

  private func isName(_ text: StaticString) -> Bool {
    for index in 0..<text.utf8CodeUnitCount where name[index] != text.utf8Start[index] {
      return false
    }
    return true
  }

  // MARK: Search

  /// Place of the first quote with a `u` behind it (or nothing yet), or end of a line; `end` when
  /// there is none.
  @inline(__always)
  private static func firstHint(
    _ base: UnsafeRawPointer, from: Int, to end: Int, lines: Bool
  ) -> Int {
    var position = from
    while position &+ 33 <= end {
      let hits =
        hints(base, position, lines: lines) | hints(base, position &+ 8, lines: lines)
        | hints(base, position &+ 16, lines: lines) | hints(base, position &+ 24, lines: lines)
      if hits & TextScan.topBits != 0 { break }
      position &+= 32
    }
    while position &+ 9 <= end {
      let hits = hints(base, position, lines: lines) & TextScan.topBits
      if hits != 0 { return position &+ hits.trailingZeroBitCount >> 3 }
      position &+= 8
    }
    while position < end {
      let byte = base[position]
      if lines, byte == lf || byte == cr { return position }
      if byte == TextScan.quote {
        if position &+ 1 == end || base[position &+ 1] == UInt8(ascii: "u") { return position }
      }
      position &+= 1
    }
    return end
  }

  /// Sets the top bit of each of eight bytes that is a hint; the lowest hit is exact.
  @inline(__always)
  private static func hints(_ base: UnsafeRawPointer, _ offset: Int, lines: Bool) -> UInt64 {
    let word = TextScan.word(base, offset)
    let pair =
      (word ^ TextScan.repeated(TextScan.quote))
      | (TextScan.word(base, offset &+ 1) ^ TextScan.repeated(UInt8(ascii: "u")))
    let hits = (pair &- TextScan.repeated(1)) & ~pair
    return lines ? hits | lineEnds(word) : hits
  }

  @inline(__always) private static func lineEnds(_ word: UInt64) -> UInt64 {
    let feed = (word ^ TextScan.repeated(lf)) &- TextScan.repeated(1)
    let carriage = (word ^ TextScan.repeated(cr)) &- TextScan.repeated(1)
    return (feed | carriage) & ~word
  }

  private static func firstLineEnd(_ base: UnsafeRawPointer, from: Int, to end: Int) -> Int {
    var position = from
    while position &+ 8 <= end {
      let hits = lineEnds(TextScan.word(base, position)) & TextScan.topBits
      if hits != 0 { return position &+ hits.trailingZeroBitCount >> 3 }
      position &+= 8
    }
    while position < end, base[position] != lf, base[position] != cr { position &+= 1 }
    return position
  }
}
