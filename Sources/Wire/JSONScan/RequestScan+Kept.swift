extension RequestScan {
  /// Stands for itself, and is one character.
  @inline(__always) static func isPlain(_ byte: UInt8) -> Bool {
    byte &- 0x20 < 0x5f && byte != TextScan.quote && byte != TextScan.backslash
  }

  /// The same as `walkKept` for a run of plain bytes, of which there is at least one.
  mutating func keepPlain(_ base: UnsafeRawPointer, _ position: inout Int, to end: Int) {
    let start = position
    var place = position
    while place < end, Self.isPlain(base[place]) { place &+= 1 }
    position = place
    let count = place &- start
    if text == .model {
      let room = Self.modelBytesLimit - Int(modelCount)
      guard count <= room else { return refuse(.modelTooLong, .model, at: start + room) }
      for index in 0..<count {
        modelBytes[Int(modelCount) &+ index] = base[start &+ index]
      }
      modelCount += UInt16(count)
    } else if count <= Self.nameBytesLimit - Int(nameCount) {
      for index in 0..<count {
        nameBytes[Int(nameCount) &+ index] = base[start &+ index]
      }
      nameCount += UInt8(count)
    } else {
      nameCount = UInt8(Self.nameBytesLimit) + 1
    }
  }

  /// A byte of a string that is kept, with its escapes decoded.
  mutating func walkKept(_ byte: UInt8, at position: Int) {
    guard encoding.take(byte) else { return refuseKept(at: position) }
    switch state {
    case .kept:
      if byte == TextScan.quote { return endKept(at: position) }
      if byte == TextScan.backslash {
        state = .keptEscape
      } else if byte < 0x20 {
        refuse(.notJSON, at: position)
      } else {
        keep(byte, at: position)
      }
    case .keptEscape:
      state = .kept
      switch byte {
      case UInt8(ascii: "u"): (state, hexLeft, unit) = (.keptHex, 4, 0)
      case UInt8(ascii: "b"): keep(0x08, at: position)
      case UInt8(ascii: "f"): keep(0x0c, at: position)
      case UInt8(ascii: "n"): keep(0x0a, at: position)
      case UInt8(ascii: "r"): keep(0x0d, at: position)
      case UInt8(ascii: "t"): keep(0x09, at: position)
      case _ where TextScan.isShortEscape(byte): keep(byte, at: position)
      default: refuse(.notJSON, at: position)
      }
    case .keptHex:
      guard let digit = TextScan.hexValue(byte) else { return refuse(.notJSON, at: position) }
      unit = unit << 4 | UInt16(digit)
      hexLeft -= 1
      if hexLeft == 0 { endUnit(at: position) }
    case .lowBackslash:
      if byte != TextScan.backslash { return refuseKept(at: position) }
      state = .lowLetter
    default:
      if byte != UInt8(ascii: "u") { return refuseKept(at: position) }
      (state, hexLeft, unit) = (.keptHex, 4, 0)
    }
  }

  /// A `\u` is whole.
  private mutating func endUnit(at position: Int) {
    state = .kept
    var scalar = UInt32(unit)
    if highUnit != 0 {
      guard (0xdc00...0xdfff).contains(unit) else { return refuseKept(at: position) }
      scalar = 0x10000 + (UInt32(highUnit) - 0xd800) << 10 + (scalar - 0xdc00)
      highUnit = 0
    } else if (0xd800...0xdbff).contains(unit) {
      (state, highUnit) = (.lowBackslash, unit)
      return
    } else if (0xdc00...0xdfff).contains(unit) {
      return refuseKept(at: position)
    }
    func tail(_ shift: UInt32) -> UInt8 { 0x80 | UInt8(scalar >> shift & 0x3f) }
    switch scalar {
    case 0..<0x80: keep(UInt8(scalar), at: position)
    case 0x80..<0x800:
      keep(0xc0 | UInt8(scalar >> 6), at: position)
      keep(tail(0), at: position)
    case 0x800..<0x10000:
      keep(0xe0 | UInt8(scalar >> 12), at: position)
      keep(tail(6), at: position)
      keep(tail(0), at: position)
    default:
      keep(0xf0 | UInt8(scalar >> 18), at: position)
      keep(tail(12), at: position)
      keep(tail(6), at: position)
      keep(tail(0), at: position)
    }
  }

  private mutating func keep(_ byte: UInt8, at position: Int) {
    if byte < 0x20 || byte == 0x7f { return refuseKept(at: position) }
    if text == .model {
      guard modelCount < Self.modelBytesLimit else {
        return refuse(.modelTooLong, .model, at: position)
      }
      modelBytes[Int(modelCount)] = byte
      modelCount += 1
    } else if nameCount < Self.nameBytesLimit {
      nameBytes[Int(nameCount)] = byte
      nameCount += 1
    } else {
      // Too long to matter, and stays so.
      nameCount = UInt8(Self.nameBytesLimit) + 1
    }
  }

  private mutating func refuseKept(at position: Int) {
    if text == .model {
      refuse(.modelUnsafe, .model, at: position)
    } else {
      refuse(.nameUnsafe, at: position)
    }
  }

  private mutating func endKept(at position: Int) {
    if text == .model {
      hasModel = true
      return endValue()
    }
    state = .colon
    let (name, isExact) = matchName()
    if name.isEmpty { return }
    guard isExact else { return refuse(.nameCase, name, at: position) }
    guard !seen.contains(name) else { return refuse(.nameTwice, name, at: position) }
    seen.formUnion(name)
    current = name
    isPrompt = RequestNames.prompts.contains(name)
  }

  /// The name that came, whatever its case, and whether its case is right.
  private func matchName() -> (name: RequestNames, isExact: Bool) {
    guard nameCount <= Self.nameBytesLimit else { return ([], true) }
    return withUnsafeBytes(of: nameBytes) { bytes in
      // Folded as Go's encoding/json does: ASCII, the long s (U+017F) and the Kelvin sign (U+212A).
      var folded = InlineArray<32, UInt8>(repeating: 0)
      var count = 0
      var isExact = true
      var place = 0
      while place < Int(nameCount) {
        let byte = bytes[place]
        if byte &- 0x41 < 26 {
          folded[count] = byte | 0x20
          isExact = false
        } else if byte == 0xc5, bytes[place + 1] == 0xbf {
          folded[count] = UInt8(ascii: "s")
          place += 1
          isExact = false
        } else if byte == 0xe2, bytes[place + 1] == 0x84, bytes[place + 2] == 0xaa {
          folded[count] = UInt8(ascii: "k")
          place += 2
          isExact = false
        } else {
          folded[count] = byte
        }
        place += 1
        count += 1
      }
      let name = withUnsafeBytes(of: folded) {
        RequestNames.find(UnsafeRawBufferPointer(rebasing: $0[..<count]))
      }
      return (name, isExact)
    }
  }
}
