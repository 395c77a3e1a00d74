/// Variables of a block that has its own: the template, a pass through a loop, a macro's call.
///
/// A class, since a macro keeps the scope that it was defined in. Few names each, so they are
/// walked.
final class Scope {
  private var names: [Int] = []
  private var values: [Value] = []
  let parent: Scope?

  init(parent: Scope?) { self.parent = parent }

  func set(_ name: Int, to value: Value) {
    for place in names.indices where names[place] == name {
      values[place] = value
      return
    }
    names.append(name)
    values.append(value)
  }

  /// The value here, or in what lies around.
  func find(_ name: Int) -> Value? {
    var scope: Scope? = self
    while let here = scope {
      for place in here.names.indices where here.names[place] == name {
        return here.values[place]
      }
      scope = here.parent
    }
    return nil
  }

  func removeAll() {
    names.removeAll(keepingCapacity: true)
    values.removeAll(keepingCapacity: true)
  }
}

/// A loop under way: the variable `loop`.
///
/// With a filter, elements are looked for one by one: what the body changes in a namespace, the
/// filter sees, as in jinja2.
final class Loop {
  let statement: ForLoop
  /// Where the loop stands; its passes have scopes within.
  let scope: Scope
  /// From 0: recursive loops within each other.
  let level: Int
  let depth: Int

  var source: [Value]
  /// The next of the source to look at.
  var cursor = 0
  /// Whether the source still has what the filter refuses.
  var isFiltered: Bool
  /// An element found in advance.
  var after: Value?
  var before: Value?
  var current: Value?
  /// -1 before the first element.
  var index0 = -1
  /// Known at once without a filter.
  var length: Int?
  var lastChanged: [Value]?

  init(_ statement: ForLoop, over source: [Value], in scope: Scope, level: Int) {
    self.statement = statement
    self.source = source
    self.scope = scope
    self.level = level
    isFiltered = statement.filter != nil
    length = isFiltered ? nil : source.count
    depth = Items(source).depth
  }
}
