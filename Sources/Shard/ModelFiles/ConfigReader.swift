import JSON

/// Members of config.json by name, each with the range that makes sense; null is as good as absent,
/// as transformers has it.
struct ConfigReader {
  let path: String
  private let members: [String: JSONValue]

  /// Bytes of a configuration file. The published ones have at most some tens of kilobytes.
  static let limit = 4 << 20

  init(_ file: MappedFile) throws(ModelComplaint) {
    self = try ConfigReader(file.path, try Self.json(file))
  }

  init(_ path: String, _ value: JSONValue) throws(ModelComplaint) {
    guard case .object(let members) = value else {
      throw ModelComplaint(path, "is not a JSON object")
    }
    self.path = path
    self.members = members
  }

  static func json(_ file: MappedFile) throws(ModelComplaint) -> JSONValue {
    do {
      return try JSONValue(file.bytes, .strict)
    } catch {
      throw ModelComplaint(file.path, "is \(error)")
    }
  }

  var names: [String] { members.keys.sorted() }

  subscript(_ name: String) -> JSONValue? {
    guard let value = members[name], value != .null else { return nil }
    return value
  }

  func count(
    _ name: String, _ range: ClosedRange<Int>, default standard: Int? = nil
  ) throws(ModelComplaint) -> Int {
    guard let value = self[name] else {
      if let standard { return standard }
      throw refuse("lacks '\(name)'; it belongs to every model of this kind")
    }
    guard let number = value.number else { throw refuse("'\(name)' is not a number") }
    guard let count = Int(exactly: number), range.contains(count) else {
      throw refuse("'\(name)' is \(shown(number)), not a whole number in \(shown(range))")
    }
    return count
  }

  /// nil where there is none.
  func optionalCount(_ name: String, _ range: ClosedRange<Int>) throws(ModelComplaint) -> Int? {
    self[name] == nil ? nil : try count(name, range)
  }

  func real(
    _ name: String, _ range: ClosedRange<Double>, default standard: Double? = nil
  ) throws(ModelComplaint) -> Double {
    guard let value = self[name] else {
      if let standard { return standard }
      throw refuse("lacks '\(name)'; it belongs to every model of this kind")
    }
    guard let number = value.number else { throw refuse("'\(name)' is not a number") }
    guard range.contains(number) else {
      throw refuse(
        "'\(name)' is \(shown(number)), outside \(range.lowerBound)...\(range.upperBound)")
    }
    return number
  }

  func flag(_ name: String, default standard: Bool) throws(ModelComplaint) -> Bool {
    guard let value = self[name] else { return standard }
    guard let flag = value.flag else { throw refuse("'\(name)' is neither true nor false") }
    return flag
  }

  func text(_ name: String) throws(ModelComplaint) -> String? {
    guard let value = self[name] else { return nil }
    guard let text = value.text else { throw refuse("'\(name)' is not a text") }
    return text
  }

  func object(_ name: String) throws(ModelComplaint) -> ConfigReader? {
    guard let value = self[name] else { return nil }
    guard case .object = value else { throw refuse("'\(name)' is not an object") }
    return try ConfigReader(path, value)
  }

  /// One id or a list of them; empty where there is none.
  func tokens(_ name: String, below vocabulary: Int) throws(ModelComplaint) -> [Int32] {
    var tokens: [Int32] = []
    guard let value = self[name] else { return tokens }
    for element in value.elements ?? [value] {
      guard let token = element.integer, token >= 0, token < vocabulary else {
        throw refuse("'\(name)' holds what is no token id below the vocabulary of \(vocabulary)")
      }
      if !tokens.contains(Int32(token)) { tokens.append(Int32(token)) }
    }
    return tokens
  }

  func refuse(_ problem: String) -> ModelComplaint { ModelComplaint(path, problem) }

  private func shown(_ number: Double) -> String {
    Int(exactly: number).map(String.init) ?? number.description
  }

  private func shown(_ range: ClosedRange<Int>) -> String {
    "\(range.lowerBound)...\(range.upperBound)"
  }
}

/// What is still believable in a model of today, with room for some years. Beyond it a file is
/// damaged or hostile, and sizes made of these numbers stay far below 2^63.
enum Believable {
  static let hidden = 1...(1 << 17)
  static let layers = 1...1024
  static let heads = 1...4096
  static let headSize = 1...4096
  static let intermediate = 1...(1 << 21)
  static let vocabulary = 1...(1 << 22)
  static let context = 1...(1 << 28)
  static let experts = 1...16384
  static let normEpsilon = 1e-20...0.1
  static let ropeTheta = 1.0...1e15
  static let ropeFactor = 1.0...65536.0
}
