import SettingsFile

/// The JSON Schema (draft 2020-12) of a configuration file, with which editors complete keys and
/// show their meaning. `Config/portico.schema.json` is this text.
///
/// Nothing is required at the top, since an include may bring it. References to the environment
/// pass everywhere. What it cannot say (unknown pools, unreachable routes) `portico check` says.
package func jsonSchema() -> String {
  let root = Schema().root.json(defaults: Settings())
  let head: [(key: String, value: JSON)] = [
    ("$schema", .text("https://json-schema.org/draft/2020-12/schema")),
    ("title", .text("Portico configuration")),
    (
      "$comment",
      .text("Made from Sources/Door/Configuration/Schema.swift by `portico schema`; do not edit.")
    ),
  ]
  let environment = JSON.object([
    ("type", .text("string")), ("pattern", .text(environmentReferencePattern)),
    ("description", .text("${NAME} or ${NAME:-default}, from the environment.")),
  ])
  let definitions: [(key: String, value: JSON)] = [
    ("$defs", .object([("environment", environment)]))
  ]
  return JSON.object(head).adding(members(of: root)).adding(definitions).print() + "\n"
}

private func members(of json: JSON) -> [(key: String, value: JSON)] {
  if case .object(let members) = json { members } else { [] }
}
