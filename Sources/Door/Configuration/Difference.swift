import SettingsFile

/// What a reload changes, one line each, for the log and for `portico check`.
///
/// ```
/// listener 'public' removed
/// pool 'chat': backend 'gpu3' added
/// pool 'chat': timeouts.connect: 2s -> 5s
/// ```
package func difference(old: Settings, new: Settings) -> [String] {
  let keys = Schema().root
  var lines: [String] = []
  compare(.map(keys.entries(old)), .map(keys.entries(new)), owner: "", path: "", into: &lines)
  // What stands in files beside the configuration.
  if old.fileKeys != new.fileKeys {
    lines.append(
      "api_keys_file: changed, \(old.fileKeys.count) -> \(new.fileKeys.count) API keys")
  }
  if let before = old.jwt?.keys, let after = new.jwt?.keys, before != after {
    lines.append("jwt.jwks: changed")
  }
  return lines
}

/// - Parameters:
///   - owner: `pool 'chat': `, or nothing at the top.
///   - path: keys from there, with dots.
private func compare(
  _ old: Tree?, _ new: Tree?, owner: String, path: String, into lines: inout [String]
) {
  switch (old, new) {
  case (.map(let a), .map(let b)):
    let keys = b.map(\.key) + a.map(\.key).filter { key in !b.contains { $0.key == key } }
    for key in keys {
      compare(
        old?[key], new?[key], owner: owner, path: path.isEmpty ? key : "\(path).\(key)",
        into: &lines)
    }
  case (.list(let a, let noun?), .list(let b, _)):
    compareItems(a, b, noun: noun, owner: owner, path: path, into: &lines)
  case (.list(_, let noun?), nil), (nil, .list(_, let noun?)):
    compareItems(
      items(of: old), items(of: new), noun: noun, owner: owner, path: path, into: &lines)
  case (.secret(let a), .secret(let b)):
    if a != b { lines.append("\(owner)\(path): changed") }
  default:
    let before = old?.line ?? "none"
    let after = new?.line ?? "none"
    if before != after { lines.append("\(owner)\(path): \(before) -> \(after)") }
  }
}

private func items(of tree: Tree?) -> [Tree] {
  if case .list(let items, _) = tree { items } else { [] }
}

/// Items of a list by their names.
private func compareItems(
  _ old: [Tree], _ new: [Tree], noun: String, owner: String, path: String,
  into lines: inout [String]
) {
  let before = Dictionary(old.map { (name($0), $0) }, uniquingKeysWith: { first, _ in first })
  let after = Set(new.map(name))
  for item in old where !after.contains(name(item)) {
    lines.append("\(owner)\(noun) '\(name(item))' removed")
  }
  for item in new {
    if let earlier = before[name(item)] {
      compare(earlier, item, owner: "\(owner)\(noun) '\(name(item))': ", path: "", into: &lines)
    } else {
      lines.append("\(owner)\(noun) '\(name(item))' added")
    }
  }
  let kept = new.map(name).filter { before[$0] != nil }
  if noun == "route", kept != old.map(name).filter(after.contains) {
    lines.append("\(owner)\(path): order changed")
  }
}

private func name(_ item: Tree) -> String {
  if case .text(let name) = item["name"] { name } else { "" }
}
