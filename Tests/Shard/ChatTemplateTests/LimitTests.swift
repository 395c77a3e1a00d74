import Testing

@testable import ChatTemplate

/// A template is a stranger's program: it must end soon, small, and without a crash.
@Suite struct LimitTests {
  private func expect(
    _ template: String, hits limit: String, line: Int = 1,
    with limits: TemplateLimits = TemplateLimits(), _ location: SourceLocation = #_sourceLocation
  ) {
    do throws(TemplateComplaint) {
      let input = try ChatInput(messagesJSON: Array("[]".utf8))
      _ = try ChatTemplate(template, limits: limits).render(input)
      Issue.record("no complaint: \(template.prefix(60))", sourceLocation: location)
    } catch {
      #expect(error.kind == .limit, sourceLocation: location)
      #expect(
        error.description == (line > 0 ? "chat template, line \(line): " : "chat template: ")
          + limit,
        sourceLocation: location)
    }
  }

  private func limits(_ change: (inout TemplateLimits) -> Void) -> TemplateLimits {
    var limits = TemplateLimits()
    change(&limits)
    return limits
  }

  // A loop within a loop would run for hours.
  @Test func loopsEnd() {
    expect(
      "\n{% for i in range(10**9) %}{% endfor %}",
      hits: "a range of more than 100000 numbers (limit 'rangeItems')", line: 2)
    let short = limits { $0.fuel = 20_000 }
    let message = "the template did more than 20000 operations (limit 'fuel')"
    expect(
      "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
      hits: message, with: short)
    expect("{% for i in range(99999) %}{{ i }}{% endfor %}", hits: message, with: short)
    expect(
      "{% macro m(n) %}{{ m(n - 1) if n }}{{ m(n - 1) if n }}{% endmacro %}{{ m(40) }}",
      hits: message, with: short)
    expect("{{ range(90000)|sort }}", hits: message, with: short)
    expect("{{ (range(100)|list) * 9999 }}", hits: message, with: short)
  }

  // A text that doubles itself 40 times would not fit any machine.
  @Test func textsAndListsStaySmall() {
    let small = limits {
      $0.textBytes = 1000
      $0.totalBytes = 50_000
    }
    let text = "a text became longer than 1000 bytes (limit 'textBytes')"
    let total = "the template made more than 50000 bytes of values (limit 'totalBytes')"
    for template in [
      "{% set n = namespace(x='ab') %}{% for i in range(40) %}{% set n.x = n.x + n.x %}{% endfor %}",
      "{% set n = namespace(x='ab') %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
      "{{ 'a' * 100000000000 }}", "{{ 9223372036854775807 * 'ab' }}", "{{ '%99999999d' % 1 }}",
      "{{ '{:>99999999}'.format(1) }}", "{{ 'a'.center(99999999) }}", "{{ 'a'|center(99999999) }}",
      "{{ 'a'.zfill(99999999) }}", "{{ ('a' * 999)|replace('a', 'bc') }}",
      "{{ ('a' * 999).replace('', 'bc') }}", "{{ [1]|tojson(indent=99999999) }}",
      "{{ 'a'|indent(99999999, true) }}", "{{ ('a' * 9).join(range(400)|map('string')) }}",
      "{{ range(400)|join('aaa') }}", "{{ range(400)|list }}", "{{ range(400)|list|tojson }}",
      "{% for i in range(1001) %}a{% endfor %}", "{{ ('<' * 999)|e }}",
      "{{ '%s' % ('a' * 999) ~ 'bc' }}",
      "{{ ('{0}' * 300).format('aaaa') }}", "{% set x %}{{ 'a' * 999 }}{{ 'a' * 999 }}{% endset %}",
    ] {
      expect(template, hits: text, with: small)
    }
    for template in [
      "{{ [1] * 100000000000 }}", "{{ range(99999)|list }}", "{{ [1]|batch(99999999, 0)|list }}",
      "{{ [1]|slice(99999999)|list }}", "{{ ('a ' * 499).split()|list|string|length }}",
      "{% set n = namespace(x=[1]) %}{% for i in range(40) %}{% set n.x = n.x + n.x %}{% endfor %}",
      "{% for i in range(999) %}{% set x = namespace() %}{% endfor %}",
      "{% set n = namespace(x={}) %}{% for i in range(999) %}{% set n.x = dict(n.x, a=i) %}{% endfor %}",
    ] {
      expect(template, hits: total, with: small)
    }
  }

  // Recursion uses the stack: of a thread there are 512 KB in the worst case, and a crash is not an
  // answer.
  @Test func nestingEnds() {
    let nesting = "expressions or statements are nested more than 50 deep (limit 'nesting')"
    func times(_ count: Int, _ text: String) -> String { String(repeating: text, count: count) }
    for template in [
      "{{ \(times(9_999, "("))1\(times(9_999, ")")) }}",
      "{{ \(times(9_999, "["))1\(times(9_999, "]")) }}",
      "{{ \(times(9_999, "{1:"))1\(times(9_999, "}")) }}", "{{ \(times(9_999, "not "))1 }}",
      "{{ \(times(9_999, "-"))1 }}", "{{ \(times(9_999, "1 if 0 else "))1 }}",
      "{{ x\(times(9_999, ".y")) }}", "{{ x\(times(9_999, "[0]")) }}",
      "{{ x\(times(9_999, "()")) }}", "{{ x\(times(9_999, "|abs")) }}",
      times(9_999, "{% if 1 %}"), times(9_999, "{% for x in y %}"), times(9_999, "{% set x %}"),
      times(9_999, "{% macro m() %}"), "{% set \(times(9_999, "("))x\(times(9_999, ")")) = 1 %}",
    ] {
      expect(template, hits: nesting)
    }
    let depth = "macros and expressions ran more than 300 deep (limit 'depth')"
    expect("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", hits: depth)
    expect("{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}", hits: depth)
    expect(
      "{% macro m() %}{% for x in [1] %}{{ [1 + (m()|length)] }}{% endfor %}{% endmacro %}{{ m() }}",
      hits: depth)
    let values = "lists were nested more than 128 deep (limit 'valueDepth')"
    for inner in ["[n.x]", "(n.x,)", "{1: n.x}", "[n.x]|map('default')", "{1: n.x}.get"] {
      expect(
        "{% set n = namespace(x=1) %}{% for i in range(9999) %}{% set n.x = \(inner) %}{% endfor %}",
        hits: values)
    }
    expect(
      "{% set n = namespace(x=1) %}{% for i in range(9999) %}{% for y in [n.x] %}"
        + "{% set n.x = loop %}{% endfor %}{% endfor %}", hits: values)
  }

  // Long chains are not deep: a template with a hundred additions is an honest one.
  @Test func longChainsAreFine() {
    let sum = "{{ 1\(String(repeating: " + 1", count: 5_000)) }}"
    #expect(outcome(sum) == .text("5001"))
    let text = "{{ 'a'\(String(repeating: " ~ 'a'", count: 5_000)) }}"
    #expect(outcome(text) == .text(String(repeating: "a", count: 5_001)))
    let logic = "{{ 0\(String(repeating: " or 0", count: 5_000)) or 7 }}"
    #expect(outcome(logic) == .text("7"))
    let branches =
      "{% if 0 %}\(String(repeating: "{% elif 0 %}", count: 5_000)){% else %}x{% endif %}"
    #expect(outcome(branches) == .text("x"))
  }

  // What refers to itself would never be freed, and would print for ever.
  @Test func namespacesThatHoldThemselvesArePrintedOnce() {
    #expect(
      outcome("{% set n = namespace() %}{% set n.n = n %}{{ n }}")
        == .text("<TemplateNamespace {'n': {...}}>"))
    #expect(
      outcome(
        "{% set a = namespace() %}{% set b = namespace() %}{% set a.x = [b] %}"
          + "{% set b.x = [a] %}{{ a == b }}{{ a == a }}") == .text("FalseTrue"))
  }

  @Test func longSourcesAreRefused() {
    expect(
      String(repeating: "a", count: 1001),
      hits: "the template is longer than 1000 bytes (limit 'sourceBytes')", line: 0,
      with: limits { $0.sourceBytes = 1000 })
  }

  // Searching in linear time: with a naive search this one takes a minute.
  @Test func searchesAreLinear() {
    let template = """
      {% set hay = 'a' * 200000 %}{% set needle = 'a' * 100000 ~ 'b' %}\
      {{ hay.find(needle) }} {{ hay.rfind('b' ~ needle[:-1]) }} {{ needle in hay }}
      """
    #expect(outcome(template) == .text("-1 -1 False"))
  }
}
