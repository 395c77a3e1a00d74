import Primitives

/// Metrics as Prometheus reads them, family by family, each with the model's name.
package struct MetricsPage {
  package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  package private(set) var text = ""
  private let model: String

  package init(model: String) {
    var escaped = ""
    for character in model.unicodeScalars {
      switch character {
      case "\\": escaped += "\\\\"
      case "\"": escaped += "\\\""
      case "\n": escaped += "\\n"
      default: escaped.unicodeScalars.append(character)
      }
    }
    self.model = "model_name=\"\(escaped)\""
  }

  package mutating func family(_ name: String, _ type: String, _ help: String) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
  }

  package mutating func line(_ name: String, _ labels: String, _ value: String) {
    text += "\(name){\(model)\(labels.isEmpty ? "" : ",")\(labels)} \(value)\n"
  }

  package mutating func gauge(_ name: String, _ help: String, _ value: Int) {
    family(name, "gauge", help)
    line(name, "", "\(value)")
  }

  package mutating func gauge(_ name: String, _ help: String, _ value: Double) {
    family(name, "gauge", help)
    line(name, "", "\(value)")
  }

  package mutating func counter(_ name: String, _ help: String, _ value: UInt64) {
    family(name, "counter", help)
    line(name, "", "\(value)")
  }

  package mutating func histogram(_ name: String, _ help: String, _ values: Histogram) {
    family(name, "histogram", help)
    var sum: UInt64 = 0
    for index in 0..<Histogram.boundCount {
      sum += values.counts[index]
      line(
        name + "_bucket", "le=\"\(Double(Histogram.bounds[index]) / 1e9)\"", "\(sum)")
    }
    line(name + "_bucket", "le=\"+Inf\"", "\(values.count)")
    line(name + "_sum", "", "\(values.sumNanoseconds / 1e9)")
    line(name + "_count", "", "\(values.count)")
  }
}
