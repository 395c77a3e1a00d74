/// What reading a value needs beside the value: where it stands, the environment, and where to
/// complain.
package struct Reader {
  /// Places of what has been read well, by path: `pools[0].name`. The checks across sections use
  /// them; what is missing here was complained about already.
  package private(set) var places: [String: Place] = [:]
  package var complaints: ComplaintList
  package private(set) var warnings = ComplaintList()
  package let environment: [String: String]
  package var resolver: Resolver
  /// Keys from the root to the value that is being read.
  private var path: [String] = []

  package init(environment: [String: String], resolver: Resolver, complaints: ComplaintList) {
    self.environment = environment
    self.resolver = resolver
    self.complaints = complaints
  }

  /// The innermost key, as complaints name a value.
  package var key: String { path.last ?? "the file" }

  package mutating func inside<Value>(_ key: String, _ body: (inout Reader) -> Value) -> Value {
    path.append(key)
    defer { path.removeLast() }
    return body(&self)
  }

  /// With another name for the innermost key: an item of its list.
  package mutating func retitled<Value>(_ key: String, _ body: (inout Reader) -> Value) -> Value {
    let before = path.removeLast()
    path.append(key)
    defer { path[path.count - 1] = before }
    return body(&self)
  }

  package mutating func markGood(_ place: Place) {
    places[path.joined(separator: ".")] = place
  }

  package mutating func complain(_ place: Place, _ message: String) {
    complaints.add(Complaint(place, message))
  }

  package mutating func warn(_ place: Place, _ message: String) {
    warnings.add(Complaint(place, message))
  }

  /// The text of a scalar with its environment references replaced; complains about anything else.
  package mutating func scalar(_ node: Node, wanted: String) -> String? {
    switch node.content {
    case .list, .map:
      complain(node.place, "'\(key)' must be \(wanted), not \(node.noun)")
      return nil
    case .scalar(let text, let isPlain):
      if node.isNull {
        complain(node.place, "'\(key)' has no value; give it \(wanted)")
        return nil
      }
      switch EnvironmentReferences.replace(in: text, from: environment) {
      case .text(let result): return result
      case .problem(let message, let offset):
        let inside = offset + (isPlain ? 0 : 1)
        complain(node.isOneLine ? node.place.moved(by: inside) : node.place, message)
        return nil
      }
    }
  }
}

/// `${NAME}` and `${NAME:-default}` in values; `$$` is a dollar sign.
package enum EnvironmentReferences {
  package enum Result: Equatable {
    case text(String)
    /// Characters before the reference that is wrong.
    case problem(String, offset: Int)
  }

  package static func replace(in text: String, from environment: [String: String]) -> Result {
    guard text.utf8.contains(0x24) else { return .text(text) }
    let scalars = Array(text.unicodeScalars)
    var result = String.UnicodeScalarView()
    var index = 0
    while index < scalars.count {
      let next = index + 1 < scalars.count ? scalars[index + 1] : nil
      guard scalars[index] == "$", next == "$" || next == "{" else {
        result.append(scalars[index])
        index += 1
        continue
      }
      if next == "$" {
        result.append("$")
        index += 2
        continue
      }
      guard let end = scalars[index...].firstIndex(of: "}") else {
        return .problem(
          "'${' is never closed; write '${NAME}', or '$${' for the characters themselves",
          offset: index)
      }
      let inside = scalars[(index + 2)..<end]
      let name = inside.prefix { isNameCharacter($0) }
      let rest = inside.dropFirst(name.count)
      let nameText = string(name)
      guard let first = name.first, !("0"..."9").contains(first),
        rest.isEmpty || rest.starts(with: [":", "-"])
      else {
        return .problem(
          "'${\(shown(string(inside)))}' is not understood; write '${NAME}' or '${NAME:-default}'",
          offset: index)
      }
      let value = environment[nameText]
      if rest.isEmpty {
        guard let value else {
          return .problem(
            "environment variable '\(nameText)' is not set; set it, or write "
              + "'${\(nameText):-default}'",
            offset: index)
        }
        result.append(contentsOf: value.unicodeScalars)
      } else if let value, !value.isEmpty {
        // As in a shell: `:-` also replaces a variable that is set to nothing.
        result.append(contentsOf: value.unicodeScalars)
      } else {
        result.append(contentsOf: rest.dropFirst(2))
      }
      index = end + 1
    }
    return .text(String(result))
  }

  private static func isNameCharacter(_ c: Unicode.Scalar) -> Bool {
    switch c {
    case "a"..."z", "A"..."Z", "0"..."9", "_": true
    default: false
    }
  }

  private static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }
}
