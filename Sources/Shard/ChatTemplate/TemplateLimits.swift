/// What a template may spend. Templates come with models from strangers: whatever one does, a
/// rendering ends within a second or two and within bounded memory and stack.
package struct TemplateLimits: Sendable, Equatable {
  /// Bytes of template source. The longest of 70 published templates has 24 KB.
  package var sourceBytes = 512 * 1024
  /// Operations of one rendering: a node evaluated, an item visited, or 32 bytes of text touched.
  /// A conversation of a thousand turns takes about half a million.
  package var fuel = 20_000_000
  /// Bytes of the text that comes out, and of any text on the way there. A context of a million
  /// tokens is about 5 MB.
  package var textBytes = 16 * 1024 * 1024
  /// Bytes of all texts and lists that one rendering makes, dropped ones counted too.
  package var totalBytes = 256 * 1024 * 1024
  /// Expressions, statements and macro calls within each other while rendering. Macros that walk a
  /// schema of tools take about 18 for each of its levels. A level takes up to 1.6 KB of stack in
  /// release builds, so that all of them fit half a megabyte.
  package var depth = 300
  /// Expressions and statements within each other in the source. 70 published templates reach 13.
  package var nesting = 50
  /// Lists and objects within each other, as values. JSON is read to 100.
  package var valueDepth = 128
  /// Items of `range`. The number is jinja2's (`MAX_RANGE`).
  package var rangeItems = 100_000

  package init() {}
}
