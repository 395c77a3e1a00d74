/// A strict reader of the text format 0.0.4, with the rules of `promtool check metrics` that concern
/// the shape of a scrape. Refuses what a lenient scraper would forgive.
struct PrometheusParser {
  struct Complaint: Error, Equatable, CustomStringConvertible {
    let description: String
  }

  struct Family {
    let kind: String
    let help: String
    /// In the order of the text.
    var samples: [(name: String, labels: [String: String], value: Double)] = []
  }

  private(set) var families: [String: Family] = [:]
  private(set) var order: [String] = []
  private var series = Set<String>()

  init(_ bytes: [UInt8]) throws(Complaint) {
    let text = String(decoding: bytes, as: UTF8.self)
    guard text.utf8.elementsEqual(bytes) else { throw Complaint(description: "not UTF-8") }
    guard text.hasSuffix("\n") else { throw Complaint(description: "no line feed at the end") }
    var help: (name: String, text: String)?
    for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("# HELP ") {
        let parts = line.dropFirst(7).split(separator: " ", maxSplits: 1)
        guard parts.count == 2, help == nil else { throw Complaint(description: "bad: \(line)") }
        help = (String(parts[0]), String(parts[1]))
      } else if line.hasPrefix("# TYPE ") {
        let parts = line.dropFirst(7).split(separator: " ")
        guard parts.count == 2, let about = help, about.name == parts[0] else {
          throw Complaint(description: "TYPE without its HELP before it: \(line)")
        }
        guard families[about.name] == nil else {
          throw Complaint(description: "\(about.name) is described twice")
        }
        families[about.name] = Family(kind: String(parts[1]), help: about.text)
        order.append(about.name)
        help = nil
      } else {
        guard help == nil else { throw Complaint(description: "HELP without TYPE: \(line)") }
        try sample(line)
      }
    }
    for name in order { try check(name, families[name]!) }
  }

  func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
    for family in families.values {
      for sample in family.samples where sample.name == name && sample.labels == labels {
        return sample.value
      }
    }
    return nil
  }

  private mutating func sample(_ line: Substring) throws(Complaint) {
    guard let current = order.last else { throw Complaint(description: "sample first: \(line)") }
    var rest = line
    let name = String(rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") })
    rest = rest.dropFirst(name.count)
    var labels: [String: String] = [:]
    if rest.first == "{" {
      rest = rest.dropFirst()
      while rest.first != "}" {
        let label = String(rest.prefix { $0.isASCII && ($0.isLetter || $0 == "_") })
        rest = rest.dropFirst(label.count)
        guard !label.isEmpty, rest.hasPrefix("=\"") else {
          throw Complaint(description: "bad label: \(line)")
        }
        rest = rest.dropFirst(2)
        var value = ""
        while let character = rest.first, character != "\"" {
          rest = rest.dropFirst()
          if character == "\\" {
            switch rest.first {
            case "n": value.append("\n")
            case "\\": value.append("\\")
            case "\"": value.append("\"")
            default: throw Complaint(description: "bad escape: \(line)")
            }
            rest = rest.dropFirst()
          } else {
            value.append(character)
          }
        }
        guard rest.first == "\"", labels.updateValue(value, forKey: label) == nil else {
          throw Complaint(description: "bad or repeated label: \(line)")
        }
        rest = rest.dropFirst()
        if rest.first == "," {
          rest = rest.dropFirst()
          if rest.first == "}" { throw Complaint(description: "comma before brace: \(line)") }
        }
      }
      guard !labels.isEmpty else { throw Complaint(description: "empty braces: \(line)") }
      rest = rest.dropFirst()
    }
    guard rest.first == " ", let value = Self.number(rest.dropFirst()) else {
      throw Complaint(description: "bad value: \(line)")
    }
    let suffixes =
      families[current]!.kind == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
    guard suffixes.contains(where: { current + $0 == name }) else {
      throw Complaint(description: "\(name) stands in the family \(current)")
    }
    let identity = name + labels.sorted { $0.key < $1.key }.map { "|\($0)=\($1)" }.joined()
    guard series.insert(identity).inserted else {
      throw Complaint(description: "twice: \(identity)")
    }
    families[current]!.samples.append((name, labels, value))
  }

  private static func number(_ text: Substring) -> Double? {
    switch text {
    case "+Inf": .infinity
    case "-Inf": -.infinity
    case "NaN": .nan
    default: text.contains { $0.isWhitespace } ? nil : Double(text)
    }
  }

  private func check(_ name: String, _ family: Family) throws(Complaint) {
    guard family.help.hasSuffix(".") else {
      throw Complaint(description: "\(name): help unfinished")
    }
    switch family.kind {
    case "counter":
      guard name.hasSuffix("_total") else { throw Complaint(description: "\(name): no _total") }
      for sample in family.samples where !(sample.value >= 0) {
        throw Complaint(description: "\(name): negative counter")
      }
    case "gauge":
      if name.hasSuffix("_total") { throw Complaint(description: "\(name): gauge with _total") }
    case "histogram":
      try checkHistogram(name, family)
    default:
      throw Complaint(description: "\(name): unknown type \(family.kind)")
    }
    for unit in ["_milliseconds", "_ms", "_kilobytes", "_percent"] where name.contains(unit) {
      throw Complaint(description: "\(name): not a base unit")
    }
  }

  private func checkHistogram(_ name: String, _ family: Family) throws(Complaint) {
    var buckets: [[String: String]: [(bound: Double, count: Double)]] = [:]
    var sums: [[String: String]: Double] = [:]
    var counts: [[String: String]: Double] = [:]
    for sample in family.samples {
      var labels = sample.labels
      switch sample.name {
      case name + "_bucket":
        guard let text = labels.removeValue(forKey: "le"), let bound = Self.number(Substring(text))
        else { throw Complaint(description: "\(name): bucket without le") }
        buckets[labels, default: []].append((bound, sample.value))
      case name + "_sum": sums[labels] = sample.value
      default: counts[labels] = sample.value
      }
    }
    guard Set(buckets.keys) == Set(sums.keys), Set(sums.keys) == Set(counts.keys) else {
      throw Complaint(description: "\(name): buckets, sums and counts are not of the same series")
    }
    for (labels, steps) in buckets {
      for (lower, upper) in zip(steps, steps.dropFirst())
      where !(lower.bound < upper.bound && lower.count <= upper.count) {
        throw Complaint(description: "\(name): buckets do not rise")
      }
      guard steps.last!.bound == .infinity, steps.last!.count == counts[labels] else {
        throw Complaint(description: "\(name): the last bucket is not +Inf with the count")
      }
    }
  }
}
