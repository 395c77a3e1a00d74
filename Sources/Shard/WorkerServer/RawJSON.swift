import JSON

/// Where the parts of a JSON text stand in its bytes. The text was read by `JSONValue` before, so its
/// syntax is believed; were it wrong, the ranges would be wrong but within the text.
struct RawJSON {
  let bytes: [UInt8]

  /// Members of the object at this place, in their order.
  func members(of object: Range<Int>) -> [(name: String, value: Range<Int>)] {
    var members: [(name: String, value: Range<Int>)] = []
    var place = skipSpace(object.lowerBound) + 1
    while true {
      place = skipSpace(place)
      guard place < object.upperBound, bytes[place] == UInt8(ascii: "\"") else { return members }
      let name = skipValue(place)
      let value = skipSpace(skipSpace(name.upperBound) + 1)
      let range = skipValue(value)
      members.append((text(name), range))
      place = skipSpace(range.upperBound)
      guard place < object.upperBound, bytes[place] == UInt8(ascii: ",") else { return members }
      place += 1
    }
  }

  /// The value of the last member of that name, which is the one that counts.
  func member(_ name: String, of object: Range<Int>) -> Range<Int>? {
    members(of: object).last { $0.name == name }?.value
  }

  /// Elements of the array at this place.
  func elements(of array: Range<Int>) -> [Range<Int>] {
    var elements: [Range<Int>] = []
    var place = skipSpace(skipSpace(array.lowerBound) + 1)
    while place < array.upperBound, bytes[place] != UInt8(ascii: "]") {
      let range = skipValue(place)
      // A value has at least one byte, so this ends.
      guard !range.isEmpty else { return elements }
      elements.append(range)
      place = skipSpace(range.upperBound)
      guard place < array.upperBound, bytes[place] == UInt8(ascii: ",") else { return elements }
      place = skipSpace(place + 1)
    }
    return elements
  }

  private func text(_ string: Range<Int>) -> String {
    (try? JSONValue(Array(bytes[string]), .tolerant))?.text ?? ""
  }

  private func skipSpace(_ place: Int) -> Int {
    var place = min(place, bytes.count)
    while place < bytes.count, bytes[place] <= 0x20 { place += 1 }
    return place
  }

  /// From the first byte of a value to behind its last.
  private func skipValue(_ start: Int) -> Range<Int> {
    var place = start
    var depth = 0
    while place < bytes.count {
      switch bytes[place] {
      case UInt8(ascii: "\""):
        place += 1
        while place < bytes.count, bytes[place] != UInt8(ascii: "\"") {
          place += bytes[place] == UInt8(ascii: "\\") ? 2 : 1
        }
        place += 1
        if depth == 0 { return start..<min(place, bytes.count) }
        continue
      case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
      case UInt8(ascii: "]"), UInt8(ascii: "}"):
        // The end of what a number or word stands in.
        if depth == 0 { return start..<place }
        depth -= 1
        if depth == 0 { return start..<(place + 1) }
      case UInt8(ascii: ","), 0...0x20:
        if depth == 0 { return start..<place }
      default: break
      }
      place += 1
    }
    return min(start, bytes.count)..<bytes.count
  }
}
