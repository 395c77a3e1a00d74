extension RequestScan {
  /// Follows the piece to its end, or to a refusal.
  mutating func walk(_ base: UnsafeRawPointer, to end: Int) {
    var position = 0
    while position < end {
      let byte = base[position]
      switch state {
      case .string:
        walkString(base, &position, to: end)
      case .stringStart:
        walkStringStart(byte, &position)
      case .escape:
        guard TextScan.isShortEscape(byte) || byte == UInt8(ascii: "u") else {
          return refuse(.notJSON, at: position)
        }
        (state, hexLeft) = byte == UInt8(ascii: "u") ? (.hex, 4) : (.string, 0)
        count(1)
        position &+= 1
      case .hex:
        guard TextScan.hexValue(byte) != nil else { return refuse(.notJSON, at: position) }
        hexLeft -= 1
        if hexLeft == 0 { state = .string }
        count(1)
        position &+= 1
      case .kept where Self.isPlain(byte) && encoding.isComplete:
        keepPlain(base, &position, to: end)
      case .kept, .keptEscape, .keptHex, .lowBackslash, .lowLetter:
        walkKept(byte, at: position)
        position &+= 1
      case .word:
        guard byte == UInt8(truncatingIfNeeded: letters) else {
          return refuse(.notJSON, at: position)
        }
        letters >>= 8
        position &+= 1
        if letters == 0 { endWord() }
      case .digits where byte &- 0x30 < 10:
        repeat {
          if number < Self.numberLimit { number = number &* 10 &+ Int(base[position] & 15) }
          position &+= 1
        } while position < end && base[position] &- 0x30 < 10
      case .minus, .zero, .digits, .point, .fraction, .exponent, .exponentSign, .exponentDigits:
        walkNumber(byte, &position)
      case .start, .firstName, .name, .colon, .firstElement, .value, .afterValue, .ended:
        if TextScan.isSpace(byte) {
          position &+= 1
        } else {
          walkBetween(byte, &position)
        }
      }
      if refusal != nil { return }
    }
  }

  // MARK: Between values

  @inline(__always)
  private mutating func walkBetween(_ byte: UInt8, _ position: inout Int) {
    let place = position
    position &+= 1
    switch state {
    case .start:
      if byte == UInt8(ascii: "{") { return open(object: true, at: place) }
      refuse(
        Self.beginsValue(byte) ? .notAnObject : byte == 0xef ? .byteOrderMark : .notJSON, at: place)
    case .firstName, .name:
      if byte == TextScan.quote { return startName() }
      if byte == UInt8(ascii: "}"), state == .firstName { return close(object: true, at: place) }
      refuse(.notJSON, at: place)
    case .colon:
      if byte != UInt8(ascii: ":") { return refuse(.notJSON, at: place) }
      state = .value
    case .firstElement, .value:
      if byte == UInt8(ascii: "]"), state == .firstElement {
        return close(object: false, at: place)
      }
      startValue(byte, at: place)
    case .afterValue:
      if byte == UInt8(ascii: ",") {
        state = isObject ? .name : .value
      } else if byte == UInt8(ascii: "}") {
        close(object: true, at: place)
      } else if byte == UInt8(ascii: "]") {
        close(object: false, at: place)
      } else {
        refuse(.notJSON, at: place)
      }
    default: refuse(.notJSON, at: place)
    }
  }

  private static func beginsValue(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "["), TextScan.quote, UInt8(ascii: "-"), 0x30...0x39, UInt8(ascii: "t"),
      UInt8(ascii: "f"), UInt8(ascii: "n"):
      true
    default: false
    }
  }

  private mutating func open(object: Bool, at position: Int) {
    guard depth < depthLimit else { return refuse(.tooDeep, at: position) }
    let bit: UInt128 = 1 << UInt128(depth)
    if object { objects |= bit } else { objects &= ~bit }
    isObject = object
    depth += 1
    state = object ? .firstName : .firstElement
  }

  private mutating func close(object: Bool, at position: Int) {
    guard object == isObject else { return refuse(.notJSON, at: position) }
    depth -= 1
    if depth == 0 {
      state = .ended
    } else {
      isObject = objects >> UInt128(depth - 1) & 1 == 1
      endValue()
    }
  }

  private mutating func startName() {
    if depth > 1 {
      (state, text) = (.string, .name)
    } else {
      (state, text) = (.kept, .outermostName)
      nameCount = 0
      encoding = UTF8Check()
    }
  }

  // MARK: Values

  private mutating func startValue(_ byte: UInt8, at position: Int) {
    let isOutermost = depth == 1
    if isOutermost, current == .model, byte != TextScan.quote, byte != UInt8(ascii: "n"),
      Self.beginsValue(byte) || byte == UInt8(ascii: "{")
    {
      return refuse(.modelNotText, .model, at: position)
    }
    switch byte {
    case TextScan.quote:
      if isPrompt {
        (state, letters) = (.stringStart, 0)
      } else if isOutermost, current == .model {
        (state, text) = (.kept, .model)
        encoding = UTF8Check()
      } else {
        (state, text) = (.string, .plain)
        if isOutermost { oddKinds.formUnion(current) }
      }
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      if isOutermost, !isPrompt { oddKinds.formUnion(current) }
      open(object: byte == UInt8(ascii: "{"), at: position)
    case UInt8(ascii: "t"): startWord(.true, "rue")
    case UInt8(ascii: "f"): startWord(.false, "alse")
    case UInt8(ascii: "n"): startWord(.null, "ull")
    case UInt8(ascii: "-"), 0x30...0x39:
      state = byte == 0x30 ? .zero : byte == UInt8(ascii: "-") ? .minus : .digits
      isPlainNumber = byte != UInt8(ascii: "-")
      number = isPlainNumber ? Int(byte & 15) : 0
    default: refuse(.notJSON, at: position)
    }
  }

  private mutating func startWord(_ word: Word, _ rest: StaticString) {
    (state, self.word, letters) = (.word, word, 0)
    for index in (0..<rest.utf8CodeUnitCount).reversed() {
      letters = letters << 8 | UInt32(rest.utf8Start[index])
    }
  }

  private mutating func endWord() {
    if depth == 1, !current.isEmpty, word != .null {
      if current == .stream {
        stream = word == .true
      } else {
        oddKinds.formUnion(current)
      }
    }
    endValue()
  }

  /// A value has ended, at whatever depth.
  mutating func endValue() {
    state = .afterValue
    if depth == 1 {
      complete.formUnion(current)
      current = []
      isPrompt = false
    }
  }

  // MARK: Numbers

  private mutating func walkNumber(_ byte: UInt8, _ position: inout Int) {
    let isDigit = byte &- 0x30 < 10
    switch state {
    case .minus where isDigit: state = byte == 0x30 ? .zero : .digits
    case .zero where isDigit: return refuse(.notJSON, at: position)
    case .point where isDigit, .fraction where isDigit: state = .fraction
    case .exponent where isDigit, .exponentSign where isDigit, .exponentDigits where isDigit:
      state = .exponentDigits
    case .exponent where byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-"):
      state = .exponentSign
    case .zero where byte == UInt8(ascii: "."), .digits where byte == UInt8(ascii: "."):
      (state, isPlainNumber) = (.point, false)
    case .zero where byte | 0x20 == UInt8(ascii: "e"),
      .digits where byte | 0x20 == UInt8(ascii: "e"),
      .fraction where byte | 0x20 == UInt8(ascii: "e"):
      (state, isPlainNumber) = (.exponent, false)
    case .zero, .digits, .fraction, .exponentDigits:
      // The byte after the number is looked at again.
      return endNumber()
    default: return refuse(.notJSON, at: position)
    }
    position &+= 1
  }

  private mutating func endNumber() {
    if isPrompt, depth > 1 {
      promptNumbers &+= 1
    } else if depth == 1, !current.isEmpty {
      if RequestNames.numbers.contains(current), isPlainNumber {
        let value = min(number, Self.numberLimit)
        if current == .n || current == .bestOf {
          choices = max(choices ?? 0, value)
        } else {
          outputLimit = max(outputLimit ?? 0, value)
        }
      } else {
        oddKinds.formUnion(current)
      }
    }
    endValue()
  }

  // MARK: Strings of which only the length counts

  @inline(__always)
  private mutating func walkString(_ base: UnsafeRawPointer, _ position: inout Int, to end: Int) {
    let start = position
    var place = position
    while true {
      place = TextScan.firstSpecial(base, from: place, to: end)
      // Escapes that are whole are passed over here, since texts have one in every line.
      guard place < end, base[place] == TextScan.backslash else { break }
      if place &+ 1 < end, TextScan.isShortEscape(base[place &+ 1]) {
        place &+= 2
      } else if place &+ 6 <= end, base[place &+ 1] == UInt8(ascii: "u"),
        TextScan.hexValue(base[place &+ 2]) != nil, TextScan.hexValue(base[place &+ 3]) != nil,
        TextScan.hexValue(base[place &+ 4]) != nil, TextScan.hexValue(base[place &+ 5]) != nil
      {
        place &+= 6
      } else {
        break
      }
    }
    count(place &- start)
    position = place
    guard place < end else { return }
    switch base[place] {
    case TextScan.quote:
      position = place &+ 1
      if text != .name {
        endValue()
      } else if position < end, base[position] == UInt8(ascii: ":") {
        // As nearly always.
        position &+= 1
        state = .value
      } else {
        state = .colon
      }
    case TextScan.backslash:
      position = place &+ 1
      state = .escape
      count(1)
    default: refuse(.notJSON, at: place)
    }
  }

  @inline(__always) private mutating func count(_ bytes: Int) {
    switch text {
    case .prompt: promptBytes &+= bytes
    case .dataURL: dataURLBytes &+= bytes
    case .plain, .name, .outermostName, .model: break
    }
  }

  /// The first bytes of a string in a prompt: is it a data URL?
  private mutating func walkStringStart(_ byte: UInt8, _ position: inout Int) {
    let scheme: StaticString = "data:"
    let matched = Int(letters)
    if byte == scheme.utf8Start[matched] {
      letters += 1
      position &+= 1
      if matched + 1 < scheme.utf8CodeUnitCount { return }
      text = .dataURL
    } else {
      text = .prompt
    }
    state = .string
    count(Int(letters))
  }
}
