import Testing

@testable import JSON

/// JSON in and out. A wrong escape or comma makes `/fleet` unreadable for every reader at once; a
/// loose reader would take somebody else's answer for ours.
struct JSONTests {
  private func complaint(
    _ text: String, _ reading: JSONValue.Reading = .strict
  ) -> String? {
    do {
      _ = try JSONValue(text, reading)
      return nil
    } catch {
      return error.description
    }
  }

  // What is written must read back as the same values, whatever stands in the texts.
  @Test func writtenTextReadsBack() throws {
    let nasty = "a\"b\\c/\u{0}\u{1f}\u{7f}\n\r\t é 漢 \u{1f600} \u{2028}"
    var text = JSONText()
    text.object { text in
      text.put("text", nasty)
      text.put("none", String?.none)
      text.put("count", -42)
      text.put("flag", true)
      text.put("part", 12.3456, places: 3)
      text.put("tiny", 0.00001, places: 5)
      text.put("label", "open" as StaticString)
      text.array("list") { text in
        text.value(1)
        text.array { _ in }
        text.object { _ in }
        text.value(false)
      }
      text.object("inner") { $0.put("x", 0) }
    }
    #expect(
      try JSONValue(text.bytes)
        == .object([
          "text": .string(nasty), "none": .null, "count": .number(-42), "flag": .bool(true),
          "part": .number(12.346), "tiny": .number(0.00001), "label": .string("open"),
          "list": .array([.number(1), .array([]), .object([:]), .bool(false)]),
          "inner": .object(["x": .number(0)]),
        ]))
  }

  // Exact bytes: `1e-05`, `-0`, `inf` and a lost zero after the point are the usual slips.
  @Test(arguments: [
    (0.0, 3, "0"), (1.0, 3, "1"), (0.05, 2, "0.05"), (-0.0004, 3, "0"), (-1.5, 1, "-1.5"),
    (0.00001, 5, "0.00001"), (1234.5678, 2, "1234.57"), (99.999, 2, "100"), (7, 0, "7"),
    (.infinity, 3, "null"), (.nan, 3, "null"), (1e300, 3, "1e+300"),
  ])
  func numbersAreWrittenPlainly(number: Double, places: Int, expected: String) {
    var text = JSONText()
    text.value(number, places: places)
    #expect(String(decoding: text.bytes, as: UTF8.self) == expected)
  }

  @Test func escapesAreTheShortOnesWhereThereAreSuch() {
    var text = JSONText()
    text.value("\u{1}\n\"\\/\u{7f}")
    #expect(String(decoding: text.bytes, as: UTF8.self) == #""\u0001\n\"\\/\u007f""#)
  }

  // The mock writes most of its JSON by hand, around texts of its clients.
  @Test func aTextAloneReadsBack() throws {
    let nasty = "quote \" backslash \\ line\nreturn\r tab\t bell\u{7} é😀"
    #expect(try JSONValue(JSONText.quoted(nasty)).text == nasty)
    #expect(JSONText.quoted("\u{1f}") == #""\u001f""#)
    var bytes = Array("<".utf8)
    JSONText.escape("a\"", into: &bytes)
    #expect(String(decoding: bytes, as: UTF8.self) == #"<a\""#)
  }

  // Wrong kinds must be nil, never a crash: the texts come from other programs.
  @Test func lookingInside() throws {
    let value = try JSONValue(#"{"a":[1,2.5,true,null],"b":{"c":"d"},"a\u0041":""}"#)
    let elements = try #require(value["a"]?.elements)
    #expect(elements.map(\.integer) == [1, nil, nil, nil])
    #expect(elements.map(\.number) == [1, 2.5, nil, nil])
    #expect(elements.map(\.flag) == [nil, nil, true, nil])
    #expect(value["b"]?["c"]?.text == "d")
    #expect(value["aA"]?.text == "")
    #expect(value["nothing"] == nil)
    #expect(elements[0]["a"] == nil)
    #expect(value.elements == nil)
  }

  @Test(arguments: [
    ("null", JSONValue.null), (" true ", .bool(true)), ("-0.5e+2", .number(-50)),
    ("[ ]", .array([])), ("{\"a\":[1,{}]}", .object(["a": .array([.number(1), .object([:])])])),
    (#""\u00e9\ud83d\ude00\/\b\f""#, .string("é\u{1f600}/\u{8}\u{c}")),
  ])
  func whatIsJSONIsRead(text: String, value: JSONValue) throws {
    #expect(try JSONValue(text) == value)
  }

  // Each of these is accepted by some lenient reader; the place must be right too.
  @Test(arguments: [
    ("", 0, "the text ends where a value should begin"),
    ("nul", 0, "a value cannot begin like this"),
    ("{} x", 3, "text after the value"),
    ("[1,]", 3, "a value cannot begin like this"),
    ("[1 2]", 3, "expected ',' or ']'"),
    ("{\"a\":1,}", 7, "expected a name in quotes"),
    ("{\"a\" 1}", 5, "expected ':'"),
    ("{\"a\":1 \"b\":2}", 7, "expected ',' or '}'"),
    ("{\"a\":1,\"a\":2}", 7, "the name stands twice in one object"),
    ("{'a':1}", 1, "expected a name in quotes"),
    ("01", 1, "a number may not begin with 0"),
    ("+1", 0, "a value cannot begin like this"),
    ("1.", 2, "expected a digit"),
    (".5", 0, "a value cannot begin like this"),
    ("1e", 2, "expected a digit"),
    ("-", 1, "expected a digit"),
    ("1e999", 0, "the number is out of range"),
    ("NaN", 0, "a value cannot begin like this"),
    ("\"abc", 4, "the text ends within a string"),
    ("\"a\nb\"", 2, "a control character within a string"),
    (#""\x""#, 2, "unknown escape"),
    (#""\u12g4""#, 5, "expected four hexadecimal digits"),
    (#""\ud83d""#, 1, "half of a surrogate pair"),
    (#""\ude00""#, 1, "half of a surrogate pair"),
    (#""\ud83dA""#, 1, "half of a surrogate pair"),
    ("// no\n1", 0, "a value cannot begin like this"),
  ])
  func whatIsNotJSONIsRefusedWithItsPlace(text: String, offset: Int, message: String) {
    #expect(complaint(text) == "not JSON at byte \(offset): \(message)")
  }

  // Both readings refuse the same syntax; what RFC 8259 leaves open is where they part.
  @Test(arguments: [
    (#""\ud83d x""#, JSONValue.string("\u{fffd} x")), (#""\ud83d\u0041""#, .string("\u{fffd}A")),
    (#""\ud83d\n""#, .string("\u{fffd}\n")), (#""\udc00""#, .string("\u{fffd}")),
    (#""\ud83d\ud83d\ude00""#, .string("\u{fffd}\u{1f600}")),
    (#"{"a":1,"b":0,"a":2}"#, .object(["a": .number(2), "b": .number(0)])),
  ])
  func whatEnginesReadTheTolerantReadingReads(text: String, value: JSONValue) throws {
    #expect(try JSONValue(text, .tolerant) == value)
    #expect(complaint(text) != nil)
    #expect(
      complaint(text + ",", .tolerant)
        == "not JSON at byte \(text.utf8.count): text after the value")
  }

  // Deep nesting must not overflow the stack.
  @Test func depthIsLimited() throws {
    let deep = String(repeating: "[", count: 100) + String(repeating: "]", count: 100)
    #expect(throws: Never.self) { try JSONValue(deep) }
    #expect(
      complaint(String(repeating: "[", count: 100_000))
        == "not JSON at byte 100: nested more than 100 deep")
  }

  @Test func bytesThatAreNotUTF8AreRefused() throws {
    #expect(throws: JSONComplaint(offset: 0, problem: "the string is not UTF-8")) {
      try JSONValue([0x22, 0xff, 0x22])
    }
    #expect(throws: JSONComplaint(offset: 1, problem: "the string is not UTF-8")) {
      try JSONValue([0x5b, 0x22, 0x5c, 0x6e, 0xff, 0x22, 0x5d])
    }
    #expect(try JSONValue([0x22, 0xff, 0x22], .tolerant) == .string("\u{fffd}"))
  }

  // No text, cut or damaged anywhere, may crash the reader.
  @Test(arguments: UInt64(0)..<20) func damagedTextNeverCrashes(seed: UInt64) {
    let good = Array(#"{"a":[1,-2.5e3,"x\u00e9\n",null,true],"b":{"c":"漢"}}"#.utf8)
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    for _ in 0..<500 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      var bytes = good
      bytes[Int(state % UInt64(good.count))] = UInt8(truncatingIfNeeded: state >> 32)
      bytes.removeLast(Int((state >> 40) % 4))
      _ = try? JSONValue(bytes, .strict)
      _ = try? JSONValue(bytes, .tolerant)
    }
  }
}
