/// A value of a YAML file with its place. Aliases and merge keys are already resolved.
struct Node {
  enum Content {
    /// `isPlain`: written without quotes, so that `null`, `~` and nothing mean "no value".
    case scalar(String, isPlain: Bool)
    case list([Node])
    case map([Entry])
  }

  let content: Content
  let place: Place
  /// Whether the text stands on one line, so that a place inside it can be computed.
  let isOneLine: Bool
  /// Values in here with aliases written out: what an alias bomb multiplies. Count.
  let weight: Int

  struct Entry {
    let key: String
    let keyPlace: Place
    let value: Node
  }

  /// What stands here, as a complaint says it.
  var noun: String {
    switch content {
    case .list: "a list"
    case .map: "a mapping"
    case .scalar(let text, _): isNull ? "an empty value" : "'\(shown(text))'"
    }
  }

  var isNull: Bool {
    guard case .scalar(let text, isPlain: true) = content else { return false }
    return ["", "~", "null", "Null", "NULL"].contains(text)
  }
}
