/// A value of a YAML file with its place. Aliases and merge keys are already resolved.
package struct Node {
  package enum Content {
    /// `isPlain`: written without quotes, so that `null`, `~` and nothing mean "no value".
    case scalar(String, isPlain: Bool)
    case list([Node])
    case map([Entry])
  }

  package let content: Content
  package let place: Place
  /// Whether the text stands on one line, so that a place inside it can be computed.
  package let isOneLine: Bool
  /// Values in here with aliases written out: what an alias bomb multiplies. Count.
  package let weight: Int

  package init(content: Content, place: Place, isOneLine: Bool, weight: Int) {
    self.content = content
    self.place = place
    self.isOneLine = isOneLine
    self.weight = weight
  }

  package struct Entry {
    package let key: String
    package let keyPlace: Place
    package let value: Node
  }

  /// What stands here, as a complaint says it.
  package var noun: String {
    switch content {
    case .list: "a list"
    case .map: "a mapping"
    case .scalar(let text, _): isNull ? "an empty value" : "'\(shown(text))'"
    }
  }

  package var isNull: Bool {
    guard case .scalar(let text, isPlain: true) = content else { return false }
    return ["", "~", "null", "Null", "NULL"].contains(text)
  }
}
