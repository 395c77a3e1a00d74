/// Fields that a head loses before it goes on. Marked in the parsed head, as those that `Connection`
/// names are: the writers leave them out.
extension FieldList {
  mutating func drop(_ known: KnownField) {
    guard has(known) else { return }
    for index in 0..<count where storage[index].known == known { mark(index) }
  }

  /// `name` is in lower case.
  mutating func drop(named name: UnsafeRawBufferPointer, in base: UnsafeRawPointer) {
    for index in 0..<count
    where Self.equal(base + Int(storage[index].name.start), Int(storage[index].name.count), name) {
      mark(index)
    }
  }

  /// `prefix` is in lower case.
  mutating func drop(withPrefix prefix: StaticString, in base: UnsafeRawPointer) {
    let text = UnsafeRawBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount)
    for index in 0..<count
    where Int(storage[index].name.count) >= text.count
      && Self.equal(base + Int(storage[index].name.start), text.count, text)
    {
      mark(index)
    }
  }

  private mutating func mark(_ index: Int) {
    storage[index].isNominated = true
    hasNominated = true
  }
}

extension RequestHead {
  package mutating func drop(_ known: KnownField) { fields.drop(known) }

  /// - Parameter name: in lower case.
  package mutating func drop(
    named name: UnsafeRawBufferPointer, in bytes: UnsafeRawBufferPointer
  ) {
    guard let base = bytes.baseAddress else { return }
    fields.drop(named: name, in: base)
  }

  /// More than one field of this kind came.
  package func isRepeated(_ known: KnownField) -> Bool { known.isIn(fields.repeated) }

  /// Calls with the values of all fields of this kind, the last one first, until one call says no.
  package func visitBackwards(
    _ known: KnownField, in bytes: UnsafeRawBufferPointer,
    _ body: (UnsafeRawBufferPointer) -> Bool
  ) {
    guard fields.has(known) else { return }
    for index in (0..<fields.count).reversed() where fields.storage[index].known == known {
      if !body(fields.storage[index].value.bytes(in: bytes)) { return }
    }
  }
}

extension ResponseHead {
  /// - Parameter name: in lower case.
  package mutating func drop(
    named name: UnsafeRawBufferPointer, in bytes: UnsafeRawBufferPointer
  ) {
    guard let base = bytes.baseAddress else { return }
    fields.drop(named: name, in: base)
  }

  /// - Parameter prefix: of names, in lower case.
  package mutating func drop(
    withPrefix prefix: StaticString, in bytes: UnsafeRawBufferPointer
  ) {
    guard let base = bytes.baseAddress else { return }
    fields.drop(withPrefix: prefix, in: base)
  }
}
