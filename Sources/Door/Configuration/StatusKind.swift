import SettingsFile

/// The statuses of a healthy answer: `200` or `200-299`.
struct StatusRange: Equatable {
  var low: Int
  var high: Int
}

extension Kind where Value == StatusRange {
  static var statuses: Kind {
    let wanted = "a status such as 200, or a range such as 200-299"
    return .scalar(
      wanted,
      json: [
        (
          "anyOf",
          .list([
            .object([
              ("type", .text("integer")), ("minimum", .integer(100)), ("maximum", .integer(599)),
            ]),
            .object([
              ("type", .text("string")), ("pattern", .text("^[1-5][0-9]{2}(-[1-5][0-9]{2})?$")),
            ]),
            environmentJSON,
          ])
        )
      ],
      show: { .word($0.low == $0.high ? "\($0.low)" : "\($0.low)-\($0.high)") },
      parse: { text in
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { part in
          part.utf8.count == 3 && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
            ? Int(part) : nil
        }
        guard (1...2).contains(parts.count), numbers.count == parts.count,
          numbers.allSatisfy({ (100...599).contains($0) })
        else { return .unlike }
        guard numbers[0] <= numbers[numbers.count - 1] else {
          return .problem("has its ends the wrong way round; write \(numbers[1])-\(numbers[0])")
        }
        return .value(StatusRange(low: numbers[0], high: numbers[numbers.count - 1]))
      })
  }
}
