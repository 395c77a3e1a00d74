import HTTP
import Primitives

/// Chunked bodies.
///
/// While an input is walked, bytes from `run` on are going to leave as they came. Bytes from `held`
/// on are not decided yet: a size line, a line end or the name of a trailer that has not come whole.
/// When the input ends there, they are dropped, and what they meant is written anew once it is
/// known: the state says what.
extension BodyDecoder {
  /// The walk over one input.
  private struct Walk {
    let base: UnsafeRawPointer
    let end: Int
    let isChunkedOut: Bool
    var position = 0
    var payload = 0
    var run = 0
    /// Where what is not decided begins; -1 when there is nothing such.
    var held = -1
    /// Some of what is not decided came in an input before.
    var isSplit = false

    /// Sends what is decided, up to here.
    mutating func flush(to: Int, into gather: inout Gather) {
      if isChunkedOut, to > run {
        gather.append(UnsafeRawBufferPointer(start: base + run, count: to - run))
      }
      run = to
    }

    @inline(__always) mutating func hold(from: Int) {
      held = from
      isSplit = false
    }

    /// What was held is good as it stands, up to `position`. False: it has to be written anew, at
    /// this place, and then `resume` called.
    @inline(__always) mutating func release(into gather: inout Gather) -> Bool {
      if !isSplit {
        held = -1
        return true
      }
      flush(to: held, into: &gather)
      return false
    }

    /// What was held has been replaced or dropped: go on behind it.
    @inline(__always) mutating func resume() {
      run = position
      held = -1
      isSplit = false
    }
  }

  mutating func decodeChunked(
    _ bytes: UnsafeRawBufferPointer, isChunkedOut: Bool, _ limits: BodyLimits,
    _ gather: inout Gather
  ) -> BodyResult {
    guard let base = bytes.baseAddress else {
      return BodyResult(consumed: 0, payloadBytes: 0, finished: false)
    }
    var walk = Walk(base: base, end: bytes.count, isChunkedOut: isChunkedOut)
    switch state {
    case .size, .data, .dataCR, .trailer, .trailerValue: break
    default:
      walk.held = 0
      walk.isSplit = true
    }
    let rejection = follow(&walk, limits, &gather)
    walk.flush(to: walk.held >= 0 ? walk.held : walk.position, into: &gather)
    if let rejection {
      state = .failed
      digits = rejection.rawValue
    }
    return BodyResult(
      consumed: walk.position, payloadBytes: walk.payload, finished: state == .finished,
      rejected: rejection)
  }

  private mutating func follow(
    _ walk: inout Walk, _ limits: BodyLimits, _ gather: inout Gather
  ) -> Rejection? {
    while walk.position < walk.end {
      switch state {
      case .data: takeData(&walk, &gather)
      case .size:
        walk.hold(from: walk.position)
        remaining = 0
        digits = 0
        isUncanonical = false
        textBytes = 0
        state = .sizeDigits
        if let rejection = takeDigits(&walk) { return rejection }
      case .sizeDigits:
        if let rejection = takeDigits(&walk) { return rejection }
      case .sizeLF:
        guard walk.base[walk.position] == ByteScan.lf else { return .bareCR }
        walk.position &+= 1
        endSizeLine(&walk, &gather)
      case .dataCR:
        guard walk.base[walk.position] == ByteScan.cr else {
          return walk.base[walk.position] == ByteScan.lf ? .bareLF : .chunkEndInvalid
        }
        walk.hold(from: walk.position)
        walk.position &+= 1
        state = .dataLF
      case .dataLF:
        guard walk.base[walk.position] == ByteScan.lf else { return .bareCR }
        walk.position &+= 1
        putLineEnd(&walk, &gather)
        state = .size
      case .extensionName, .extensionNameRest, .extensionValue, .extensionToken, .extensionQuoted,
        .extensionEscape, .extensionEnd:
        if let rejection = takeExtension(&walk, limits) { return rejection }
      case .trailer, .trailerName, .trailerValue, .trailerLF, .endLF:
        if let rejection = takeTrailer(&walk, limits, &gather) { return rejection }
      case .finished, .failed, .length, .untilClose: return nil
      }
    }
    return nil
  }

  @inline(__always)
  private mutating func takeData(_ walk: inout Walk, _ gather: inout Gather) {
    let available = walk.end &- walk.position
    let count = remaining < UInt64(available) ? Int(remaining) : available
    if !walk.isChunkedOut {
      gather.append(UnsafeRawBufferPointer(start: walk.base + walk.position, count: count))
    }
    walk.position &+= count
    walk.payload &+= count
    remaining &-= UInt64(count)
    guard remaining == 0 else { return }
    // Mostly the line end is there too.
    if walk.position &+ 1 < walk.end, walk.base[walk.position] == ByteScan.cr,
      walk.base[walk.position &+ 1] == ByteScan.lf
    {
      walk.position &+= 2
      state = .size
    } else {
      state = .dataCR
    }
  }

  // MARK: The size line

  /// Digits up to what ends them. At most 15: no overflow is possible, and an exabyte is enough.
  @inline(__always)
  private mutating func takeDigits(_ walk: inout Walk) -> Rejection? {
    while walk.position < walk.end {
      let byte = walk.base[walk.position]
      let value = ByteScan.hexValue(byte)
      if value <= 15 {
        if digits == 15 { return .chunkSizeTooLarge }
        if digits > 0, remaining == 0 { isUncanonical = true }
        digits &+= 1
        remaining = remaining &<< 4 | UInt64(value)
        walk.position &+= 1
        continue
      }
      if digits == 0 { return byte == ByteScan.lf ? .bareLF : .chunkSizeInvalid }
      if byte == ByteScan.cr {
        walk.position &+= 1
        state = .sizeLF
      } else if byte == 0x3b {
        walk.position &+= 1
        isUncanonical = true
        state = .extensionName
      } else {
        return byte == ByteScan.lf ? .bareLF : .chunkSizeInvalid
      }
      return nil
    }
    return nil
  }

  private mutating func endSizeLine(_ walk: inout Walk, _ gather: inout Gather) {
    if isUncanonical { walk.isSplit = true }
    if !walk.release(into: &gather) {
      if walk.isChunkedOut { Self.putSize(remaining, into: &gather) }
      walk.resume()
    }
    if remaining > 0 {
      state = .data
    } else {
      state = .trailer
      textBytes = 0
      trailers = 0
    }
  }

  /// A line end that was held is complete.
  private func putLineEnd(_ walk: inout Walk, _ gather: inout Gather) {
    if !walk.release(into: &gather) {
      if walk.isChunkedOut { gather.append("\r\n") }
      walk.resume()
    }
  }

  /// One byte of `;name`, `;name=token` or `;name="text"`. Extensions are read only to find their
  /// end, but strictly: what is not one could hide a line end from us.
  private mutating func takeExtension(_ walk: inout Walk, _ limits: BodyLimits) -> Rejection? {
    let byte = walk.base[walk.position]
    textBytes &+= 1
    if Int(textBytes) > min(limits.extensionBytes, 65_000) { return .chunkExtensionTooLong }
    switch state {
    case .extensionName, .extensionValue:
      if state == .extensionValue, byte == 0x22 {
        state = .extensionQuoted
      } else if ByteScan.isToken(byte) {
        state = state == .extensionName ? .extensionNameRest : .extensionToken
      } else {
        return .chunkExtensionInvalid
      }
    case .extensionQuoted:
      if byte == 0x22 {
        state = .extensionEnd
      } else if byte == 0x5c {
        state = .extensionEscape
      } else if byte < 0x20 && byte != ByteScan.tab || byte == 0x7f {
        return .chunkExtensionInvalid
      }
    case .extensionEscape:
      if byte < 0x20 && byte != ByteScan.tab || byte == 0x7f { return .chunkExtensionInvalid }
      state = .extensionQuoted
    default:
      if byte == ByteScan.cr {
        state = .sizeLF
      } else if byte == 0x3b {
        state = .extensionName
      } else if byte == 0x3d, state == .extensionNameRest {
        state = .extensionValue
      } else if state == .extensionEnd || !ByteScan.isToken(byte) {
        return byte == ByteScan.lf ? .bareLF : .chunkExtensionInvalid
      }
    }
    walk.position &+= 1
    return nil
  }

  // MARK: Trailers

  /// A stretch of a trailer line, or of the end of the body.
  private mutating func takeTrailer(
    _ walk: inout Walk, _ limits: BodyLimits, _ gather: inout Gather
  ) -> Rejection? {
    let byte = walk.base[walk.position]
    switch state {
    case .trailer:
      walk.hold(from: walk.position)
      if byte == ByteScan.cr {
        walk.position &+= 1
        state = .endLF
        return nil
      }
      if Int(trailers) >= min(limits.trailers, 255) { return .tooManyTrailers }
      trailers &+= 1
      nameBytes = 0
      dropsTrailer = false
      state = .trailerName
      guard ByteScan.isToken(byte) else { return byte == ByteScan.lf ? .bareLF : .trailerInvalid }
    case .endLF:
      guard byte == ByteScan.lf else { return .bareCR }
      walk.position &+= 1
      putLineEnd(&walk, &gather)
      state = .finished
      return nil
    case .trailerName:
      if byte == ByteScan.colon {
        walk.position &+= 1
        endTrailerName(&walk, &gather)
        state = .trailerValue
        return countTrailer(1, limits)
      }
      guard ByteScan.isToken(byte) else { return byte == ByteScan.lf ? .bareLF : .trailerInvalid }
      if Int(nameBytes) < Self.trailerNameLimit {
        name[Int(nameBytes)] = byte
      }
      nameBytes = min(nameBytes &+ 1, UInt8(Self.trailerNameLimit + 1))
      walk.position &+= 1
      return countTrailer(1, limits)
    case .trailerValue:
      let start = walk.position
      var position = ByteScan.firstControl(walk.base, from: start, to: walk.end)
      while position < walk.end, walk.base[position] == ByteScan.tab {
        position = ByteScan.firstControl(walk.base, from: position + 1, to: walk.end)
      }
      walk.position = position
      if dropsTrailer { walk.run = position }
      if let rejection = countTrailer(position - start, limits) { return rejection }
      guard position < walk.end else { return nil }
      guard walk.base[position] == ByteScan.cr else {
        return walk.base[position] == ByteScan.lf ? .bareLF : .trailerInvalid
      }
      walk.hold(from: position)
      walk.position += 1
      state = .trailerLF
    default:
      guard byte == ByteScan.lf else { return .bareCR }
      walk.position &+= 1
      if dropsTrailer {
        walk.resume()
      } else {
        putLineEnd(&walk, &gather)
      }
      state = .trailer
    }
    return nil
  }

  private mutating func countTrailer(_ bytes: Int, _ limits: BodyLimits) -> Rejection? {
    let total = Int(textBytes) + bytes
    if total > min(limits.trailerBytes, 65_535) { return .trailersTooLarge }
    textBytes = UInt16(total)
    return nil
  }

  /// Passes the name on, unless trailers may not say this: framing, routing, credentials, how the
  /// content is to be read, in short every field that means something to us (RFC 9110, 6.5.1).
  private mutating func endTrailerName(_ walk: inout Walk, _ gather: inout Gather) {
    let count = Int(nameBytes)
    if count > Self.trailerNameLimit {
      dropsTrailer = true
    } else {
      dropsTrailer = withUnsafeBytes(of: name) { bytes in
        let base = bytes.baseAddress!
        return KnownField.find(base, count) != .other || FieldList.isDisguise(base, count)
      }
    }
    if dropsTrailer {
      walk.flush(to: walk.held, into: &gather)
      walk.resume()
      return
    }
    if walk.release(into: &gather) { return }
    if walk.isChunkedOut {
      var writer = TextWriter(gather.reserve(Self.trailerNameLimit + 1).baseAddress!)
      withUnsafeBytes(of: name) {
        writer.put(UnsafeRawBufferPointer(rebasing: $0[..<count]))
      }
      writer.put(ByteScan.colon)
      gather.commit(writer.count)
    }
    walk.resume()
  }
}
