"""Small templates, one for each thing that the language does. `make.py` asks jinja2 what they
render to. They share the variables below."""

VARIABLES = {
    "n": 3,
    "zero": 0,
    "neg": -7,
    "f": 2.5,
    "big": 123456789012345678901234567890,
    "tiny": 1e-7,
    "yes": True,
    "no": False,
    "nil": None,
    "s": "Hello, World",
    "empty": "",
    "spaces": "  \t padded \n ",
    "uni": "Grüße, Ω ΣΑΣ 漢字 🎉 ß ŉ",
    "quotes": "it's \"quoted\" \\ and\nnew\ttab \x07 \u200b \xa0 é",
    "html": "<b>&'\"</b>",
    "lines": "one\ntwo\r\nthree\n\nfive\n",
    "xs": [3, 1, 2],
    "words": ["banana", "Apple", "cherry", "apple"],
    "nested": [[1, [2, 3]], {"k": [True, None, 1.5, "x'y"]}],
    "d": {"b": 1, "a": 2, "C": 3},
    "deep": {"one": {"two": {"three": "x"}}, "items": "hidden", "get": 1},
    "people": [
        {"name": "Ann", "age": 30, "tags": ["x", "y"], "city": "Oslo"},
        {"name": "bob", "age": 25, "tags": [], "city": "Rome"},
        {"name": "Cid", "age": 30, "city": "oslo"},
    ],
    "numbers": [1, 2.0, 0.1, 1e16, 1e15, 123456.789, 1e-5, 0.0001, 1e22, 1.5e300, -0.0, 100],
    "thought": "<think>a</think>b</think>c",
}

SNIPPETS = {}


def group(name, text):
    SNIPPETS[name] = [line for line in text.strip("\n").split("\n") if line.strip()]


def whole(name, *texts):
    SNIPPETS[name] = list(texts)


group("literals", r"""
{{ 1 }} {{ 1.5 }} {{ 'a' }} {{ "b" }} {{ true }} {{ False }} {{ none }} {{ None }}
{{ 'a' 'b' "c" }}
{{ 'tab\tnew\nquote\'back\\slash\x41\u00e9\U0001F389\101\q' }}
{{ "it's" }}|{{ 'say "hi"' }}
{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1e3 }} {{ 2.5e-3 }} {{ 00 }} {{ 1_0.2_5 }}
{{ [1, 'a', 2.0, none, true, [], {}, ()] }}
{{ (1,) }} {{ (1, 2) }} {{ 1, 2 }} {{ () }}
{{ {'a': 1, 'b': [1, 2], 3: 'c', none: true} }}
{{ [1, 2,] }} {{ {'a': 1,} }}
{{ 12345678901234567890123 }} {{ -5 }} {{ +5 }} {{ - 5 }} {{ --5 }}
{{ 9223372036854775807 }} {{ -9223372036854775807 }}
{{ numbers }}
{{ quotes }}|{{ [quotes] }}|{{ [html] }}|{{ [uni] }}
{{ nested }} {{ d }} {{ deep }}
{{ ["it's"] }} {{ ['say "x"'] }} {{ ['both \' and "'] }}
{{ big }} {{ [big] }} {{ tiny }} {{ f }}
""")

group("names", r"""
[{{ missing }}]
{{ missing.x }}
{{ missing['x'] }}
{{ missing() }}
{{ missing + 1 }}
{{ 1 + missing }}
{{ 'a' ~ missing ~ 'b' }}
{{ -missing }}
{{ missing < 1 }}
{{ missing == missing }} {{ missing == none }} {{ missing == '' }} {{ missing != 1 }}
{% for x in missing %}x{% else %}none{% endfor %}
{{ missing is defined }} {{ missing is undefined }} {{ missing is none }}
{{ 'yes' if missing else 'no' }}
{{ [missing] }}
{{ missing|length }} {{ missing|list }} {{ missing|string }}| {{ missing|upper }}|
{{ 1 in missing }}
{{ missing in [1, missing] }}
{{ d.zzz }}|{{ d['zzz'] }}|{{ xs[10] }}|{{ nil.x }}|{{ s.zzz }}|{{ n.zzz }}
{{ d.zzz.y }}
{{ xs[10].y }}
{{ nil.x.y }}
{{ s.zzz.y }}
{{ missing|tojson }}
{{ missing|int }}
{{ missing|trim }}|
{{ missing|join(',') }}|{{ missing|first }}|
{{ missing|replace('a','b') }}|
{{ missing is iterable }} {{ missing is sequence }} {{ missing is mapping }} {{ missing is string }}
{{ missing is callable }}
{{ missing|default('x') }} {{ d.zzz|default('y') }} {{ ''|default('z') }}|{{ ''|default('z', true) }} {{ none|default('n') }} {{ none|d('n', boolean=true) }}
{{ missing|default }}|
""")

group("arithmetic", r"""
{{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }}
{{ 7 / 2 }} {{ 6 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }} {{ 2 ** 3 ** 2 }}
{{ 1 + 2.0 }} {{ 0.1 + 0.2 }} {{ 1e308 * 10 }} {{ 5.0 // 2 }} {{ -5.0 // 2 }} {{ -5.5 % 2 }} {{ 5.5 % -2 }}
{{ true + 1 }} {{ true * 3 }} {{ -true }}
{{ 'a' + 'b' }} {{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ 'a' * 0 }}| {{ 'a' * -1 }}|
{{ [1] + [2] }} {{ [1, 2] * 2 }} {{ 2 * [1] }} {{ (1,) + (2,) }} {{ (1,) * 2 }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ [1] + (2,) }}
{{ [1] + 'a' }}
{{ 'a' * 'b' }}
{{ none + 1 }}
{{ {} + {} }}
{{ 1 / 0 }}
{{ 1 // 0 }}
{{ 1 % 0 }}
{{ 1.0 / 0 }}
{{ -'a' }}
{{ 1 - 2 - 3 }} {{ 2 * 3 / 4 }} {{ 10 - 2 + 3 }}
{{ 1 ~ 2 ~ none ~ true ~ 1.5 ~ [1] }}
{{ 1 + 2 ~ 3 + 4 }}
{{ 1 ~ 2 + 3 ~ 4 }}
{{ 'a' ~ 1 + 1 }}
{{ -2 ** 2 }} {{ 2 * -3 }} {{ 2 - -3 }}
{{ n + 0.0 }} {{ n * f }} {{ neg // n }} {{ neg % n }} {{ neg / n }}
{{ 'x=%s y=%d' % ('a', 5) }} {{ '%s' % 'a' }} {{ '%s %s' % (1, none) }} {{ '%05d|%-5d|%+d|% d' % (42, 42, 42, 42) }}
{{ '%.2f|%8.3f|%e|%g|%G' % (3.14159, 2.5, 12345.678, 0.0001, 1e20) }}
{{ '%x|%X|%o|%#x' % (255, 255, 8, 255) }} {{ '%5s|%-5s|%.2s' % ('ab', 'ab', 'abcdef') }} {{ '100%%' % () }}
{{ '%(a)s-%(b)s' % {'a': 1, 'b': 2} }} {{ '%r' % 'q' }} {{ '%s' % [1, 'a'] }}
{{ '%s' % () }}
{{ '%s' % (1, 2) }}
{{ '%d' % 'a' }}
{{ '%d' % 3.7 }} {{ '%s' % missing }}|
""")

group("comparison", r"""
{{ 1 == 1.0 }} {{ 1 == true }} {{ 0 == false }} {{ 'a' == 'a' }} {{ 'a' == 1 }} {{ none == none }} {{ [] == () }}
{{ [1, 2] == [1, 2.0] }} {{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }} {{ (1, 2) == (1, 2) }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 < 2 == 2 }} {{ 3 > 2 >= 2 }} {{ 1 != 2 != 1 }}
{{ 'a' < 'b' }} {{ 'Z' < 'a' }} {{ 'é' > 'z' }} {{ '🎉' > '漢' }} {{ [1, 2] < [1, 3] }} {{ [1] < [1, 0] }} {{ (2,) > (1, 9) }}
{{ 1 < 'a' }}
{{ 'a' >= 1 }}
{{ none < 1 }}
{{ [1] < (1,) }}
{{ {} < {} }}
{{ 1 in xs }} {{ 5 in xs }} {{ 5 not in xs }} {{ 'a' in d }} {{ 'z' in d }} {{ 'World' in s }} {{ '' in s }} {{ 1.0 in xs }}
{{ not 1 in xs }} {{ (not 1) in xs }}
{{ 1 in s }}
{{ 1 in 5 }}
{{ 1 in none }}
{{ [] in {} }}
{{ none in [none] }} {{ 'x' in ('x', 'y') }} {{ [1] in [[1], 2] }}
{{ true and 1 }} {{ 0 or 'x' }} {{ '' or none }} {{ 1 and 0 and x.y }} {{ not '' }} {{ not not 5 }}
{{ [] or {} or () or 'last' }} {{ 'a' and 'b' or 'c' }} {{ none and missing.x }}
{{ 1 if true }}|{{ 1 if false }}|{{ 1 if false else 2 if false else 3 }}
{{ (1 if false).x }}
{{ 1 if xs else 0 }} {{ 1 if [] else 0 }} {{ 1 if {} else 0 }} {{ 1 if '0' else 0 }} {{ 1 if 0.0 else 0 }} {{ 1 if ' ' else 0 }}
{{ 9007199254740993 == 9007199254740992.0 }}
""")

group("slices", r"""
{{ xs[0] }} {{ xs[-1] }} {{ xs[1:] }} {{ xs[:-1] }} {{ xs[::-1] }} {{ xs[:] }} {{ xs[5:] }} {{ xs[-2:] }} {{ xs[0:2:2] }}
{{ s[0] }} {{ s[-1] }} {{ s[7:] }} {{ s[:5] }} {{ s[::-1] }} {{ s[::2] }} {{ s[-5:-1] }} {{ s[10:2:-3] }}
{{ uni[0:5] }} {{ uni[2] }} {{ uni[::-1] }} {{ uni[-3:] }} {{ uni[18:20] }}
{{ (1, 2, 3)[1:] }} {{ [][::-1] }} {{ ''[1:] }}|{{ 'abc'[5:] }}|{{ 'abc'[-10:2] }}
{{ range(10)[2:5] }} {{ range(10)[::-1]|list }} {{ range(5)[-1] }}
{{ xs[none:none:none] }} {{ xs[true:] }}
{{ xs['a':] }}
{{ xs[::0] }}
{{ nil[1:] }}
{{ d[1:] }}
{{ missing[1:] }}
{{ d['b'] }} {{ d.b }} {{ people[0].name }} {{ people[0]['tags'][1] }} {{ people.0.name }} {{ nested.0.1.0 }}
{{ deep.one.two.three }} {{ deep['one']['two'] }}
{{ xs['a'] }}| {{ xs[none] }}| {{ d[none] }}| {{ s['x'] }}| {{ d[[1]] }}|
{{ 5[0] }}|{{ none['a'] }}|
{{ {1: 'int', 1.5: 'float', true: 'overwrites'}[1] }} {{ {(1, 2): 'tuple'}[(1, 2)] }}
{{ xs[1.0] }}|
{{ {[1]: 2} }}
""")

group("attributes", r"""
{{ deep.items is defined }} {{ deep['items'] }} {{ deep.get is callable }} {{ deep['get'] }}
{{ d.items() }} {{ d.keys() }} {{ d.values() }} {{ d.items()|list }} {{ d.items()|length }}
{{ d.get('a') }} {{ d.get('z') }} {{ d.get('z', 5) }} {{ d.get(1) }} {{ d['items']()|list }} {{ d.copy() }}
{{ d.items()[0] }}|
{{ 'a' in d.keys() }} {{ 1 in d.values() }} {{ ('a', 2) in d.items() }}
{{ xs.index(1) }} {{ xs.count(3) }} {{ (1, 1, 2).count(1) }} {{ (1, 2).index(2) }} {{ xs.copy() }}
{{ xs.index(99) }}
{{ xs.append(1) }}
{{ xs.append is defined }} {{ d.update is defined }} {{ d.pop is undefined }} {{ xs.sort is defined }}
{{ d.pop('a') }}
{{ d.update({}) }}
{{ ''.__class__ }}|{{ xs.__len__ }}|{{ d.__class__ is defined }}
{{ ''.__class__.__mro__ }}
{{ n.real }} {{ n.imag }} {{ f.is_integer() }} {{ 2.0.is_integer() }}
{{ range(1, 9, 2).start }} {{ range(1, 9, 2).step }}
{{ d.get() }}
{{ d.items(1) }}
{{ s() }}
{{ d.nothing() }}
""")

group("methods", r"""
{{ spaces.strip() }}|{{ spaces.lstrip() }}|{{ spaces.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcba'.strip('ab') }}|{{ 'x\u00a0\u2003'.strip() }}|
{{ 'a\x1cb'.split() }} {{ '\u200b a'.strip()|length }}
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ 'hELLO wORLD'.capitalize() }} {{ s.swapcase() }} {{ "they're bill's".title() }}
{{ uni.upper() }} {{ uni.lower() }} {{ uni.title() }} {{ uni.capitalize() }} {{ 'ΟΔΟΣ ΣΑΣ'.lower() }} {{ 'ǆ'.title() }} {{ 'İ'.lower()|length }}
{{ 'a,b,,c'.split(',') }} {{ 'a,b,,c'.split(',', 1) }} {{ ' a  b c '.split() }} {{ ' a  b c '.split(none, 1) }} {{ ''.split() }} {{ ''.split(',') }}
{{ 'a,b,c'.rsplit(',', 1) }} {{ ' a  b c '.rsplit(none, 1) }} {{ ' a  b c '.rsplit() }} {{ 'aXXbXXc'.rsplit('XX') }} {{ 'aaa'.rsplit('aa') }} {{ 'aaa'.split('aa') }}
{{ 'a'.split('') }}
{{ 'a'.split(1) }}
{{ 'a b'.split(sep=' ', maxsplit=1) }} {{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('-') }} {{ 'abc'.rpartition('-') }}
{{ thought.split('</think>')[-1] }} {{ thought.split('</think>')[0].split('<think>')[-1] }} {{ thought.rstrip('\n').split('</think>')[0].rstrip('\n') }}
{{ s.startswith('Hello') }} {{ s.endswith('World') }} {{ s.startswith(('x', 'H')) }} {{ s.startswith('World', 7) }} {{ s.endswith('Hello', 0, 5) }} {{ s.startswith('') }}
{{ s.startswith(1) }}
{{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ s.replace('', '-') }} {{ 'aaa'.replace('aa', 'b') }} {{ uni.replace('', '.') }}
{{ s.find('o') }} {{ s.rfind('o') }} {{ s.find('z') }} {{ s.index('o') }} {{ s.count('l') }} {{ s.count('') }} {{ uni.find('漢') }} {{ s.find('o', 5) }} {{ s.rindex('l') }} {{ 'aXbX'.rfind('X', 0, 3) }}
{{ s.index('z') }}
{{ ','.join(['a', 'b']) }} {{ ''.join([]) }}| {{ '-'.join('abc') }} {{ ', '.join(d) }}
{{ ','.join([1, 2]) }}
{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ 'a\x0bb\x0cc\x85d\u2028e'.splitlines() }} {{ ''.splitlines() }}
{{ 'abc'.isalpha() }} {{ 'a1'.isalpha() }} {{ '12'.isdigit() }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ '½'.isnumeric() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ ''.isspace() }} {{ 'é'.isascii() }} {{ 'ab'.islower() }} {{ 'AB'.isupper() }} {{ '1'.isupper() }} {{ 'a\n'.isprintable() }}
{{ 'ab'.center(6) }}|{{ 'ab'.center(7, '*') }}|{{ 'abc'.center(6, '*') }}|{{ 'ab'.ljust(5) }}|{{ 'ab'.rjust(5, '.') }}|{{ '-42'.zfill(6) }}|{{ '7'.zfill(3) }}|{{ 'abc'.center(2) }}
{{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }} {{ 'x'.removeprefix('y') }}
{{ '{} and {}'.format(1, 'a') }} {{ '{1}{0}'.format('a', 'b') }} {{ '{x}-{y}'.format(x=1, y=none) }} {{ '{{}}'.format() }} {{ '{0[b]} {0[a]}'.format(d) }} {{ '{p.a}'.format(p=d) }}
{{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }} {{ '{:.2f} {:5d} {:05d} {:+d} {:,}'.format(3.14159, 42, 42, 42, 1234567) }}
{{ '{:x} {:#x} {:b} {:o} {:e} {:%}'.format(255, 255, 5, 8, 1234.5, 0.25) }} {{ '{!r} {!s}'.format('a', 'b') }} {{ '{:.3}'.format('abcdef') }} {{ '{:g} {:.3g} {}'.format(0.00001, 1234.5, 1e16) }}
{{ '{}'.format() }}
{{ '{x}'.format() }}
{{ '{'.format() }}
{{ '}'.format() }}
{{ '{:d}'.format('a') }}
{{ '{:_} {:10.3f}| {: d} {:<6d}|{:=+6d}'.format(1234567, 3.14159, 5, 42, 42) }} {{ '{}'.format(true) }} {{ '{:d}'.format(true) }}
{{ 'ß'.casefold() }} {{ 'ABC'.casefold() }}
""")

group("filters", r"""
{{ s|upper }} {{ s|lower }} {{ s|capitalize }} {{ 'hello world-foo (bar) it\'s'|title }} {{ spaces|trim }}| {{ 'xxaxx'|trim('x') }} {{ 5|upper }} {{ none|lower }} {{ true|trim }}
{{ uni|upper }} {{ uni|title }} {{ uni|length }} {{ s|length }} {{ xs|count }} {{ d|length }} {{ '漢'|length }} {{ range(5)|length }}
{{ 5|length }}
{{ none|length }}
{{ xs|map('string')|length }}
{{ s|replace('l', 'L') }} {{ s|replace('l', 'L', 1) }} {{ 515|replace(5, 'x') }} {{ s|replace('o', none) }}
{{ xs|join(',') }} {{ xs|join }} {{ words|join(', ') }} {{ people|join(', ', attribute='name') }} {{ [1, none, 'a', missing]|join('-') }} {{ 'abc'|join('.') }} {{ d|join(',') }}
{{ xs|first }} {{ xs|last }} {{ []|first }}| {{ ''|last }}| {{ s|first }} {{ s|last }} {{ d|first }} {{ d|last }}
{{ missing|last }}
{{ xs|sort }} {{ xs|sort(reverse=true) }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ people|sort(attribute='age')|map(attribute='name')|list }} {{ people|sort(attribute='age,name')|map(attribute='name')|list }} {{ 'cab'|sort }} {{ d|sort }}
{{ people|sort(reverse=true, attribute='age')|map(attribute='name')|list }}
{{ [1, 'a']|sort }}
{{ d|dictsort }} {{ d|dictsort(true) }} {{ d|dictsort(by='value') }} {{ d|dictsort(false, 'value', true) }} {{ d|dictsort(reverse=true) }}
{{ xs|dictsort }}
{{ d|items|list }} {{ d|items|first }} {{ missing|items|list }}
{{ xs|items|list }}
{{ xs|reverse|list }} {{ s|reverse }} {{ d|reverse|list }} {{ xs|list }} {{ s[:3]|list }} {{ d|list }} {{ (1, 2)|list }}
{{ 5|list }}
{{ xs|min }} {{ xs|max }} {{ words|min }} {{ words|max(case_sensitive=true) }} {{ people|min(attribute='age') }} {{ []|max }}| {{ people|max(attribute='name') }}
{{ xs|sum }} {{ people|sum(attribute='age') }} {{ []|sum }} {{ [0.1, 0.2]|sum }} {{ xs|sum(start=10) }}
{{ ['a']|sum }}
{{ words|unique|list }} {{ words|unique(case_sensitive=true)|list }} {{ people|unique(attribute='age')|map(attribute='name')|list }} {{ [1, 1.0, true, 2]|unique|list }}
{{ people|map(attribute='name')|list }} {{ people|map(attribute='tags', default='none')|list }} {{ xs|map('string')|list }} {{ words|map('upper')|join(' ') }} {{ words|map('replace', 'a', 'A')|list }} {{ xs|map('abs')|list }}
{{ xs|map|list }}
{{ people|map(attribute='tags.0')|list }}
{{ people[:2]|map(attribute='tags.0')|list }}
{{ people|map(attribute='zzz')|list }}
{{ xs|select('odd')|list }} {{ xs|reject('odd')|list }} {{ [0, 1, '', 'a', none]|select|list }} {{ [0, 1]|reject|list }} {{ xs|select('gt', 1)|list }} {{ xs|select('in', [1, 2])|list }} {{ xs|select('equalto', 2)|list }} {{ xs|reject('==', 2)|list }} {{ xs|select('>=', 2)|list }}
{{ people|selectattr('tags')|map(attribute='name')|list }} {{ people|selectattr('age', 'equalto', 30)|map(attribute='name')|list }} {{ people|rejectattr('age', 'gt', 26)|map(attribute='name')|list }} {{ people|selectattr('tags', 'defined')|list|length }} {{ people|rejectattr('tags', 'undefined')|list|length }} {{ people|selectattr('name', 'in', ['Ann'])|first }}
{{ people|selectattr('age', 'equalto', 30)|first }}
{{ people|groupby('age') }} {% for g in people|groupby('city') %}{{ g[0] }}:{{ g[1]|map(attribute='name')|join(',') }};{% endfor %}
{{ people|groupby('city', case_sensitive=true)|map('first')|list }}
{{ 'x'|indent }} {{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent(2, blank=true) }}|{{ 'a\nb\n'|indent('> ') }}|{{ ''|indent(4, true) }}|
{{ 5|indent }}
{{ '42'|int }} {{ '4.7'|int }} {{ 'x'|int }} {{ 'x'|int(-1) }} {{ 3.9|int }} {{ -3.9|int }} {{ 'ff'|int(0, 16) }} {{ '0x1f'|int(base=16) }} {{ ' 7 '|int }} {{ none|int }} {{ true|int }} {{ '1_000'|int }} {{ '-5'|int }} {{ [1]|int }} {{ '1e3'|int }}
{{ '1.5'|float }} {{ 3|float }} {{ 'x'|float }} {{ 'x'|float(1.5) }} {{ 'inf'|float }} {{ ' 2e3 '|float }} {{ none|float }} {{ true|float }}
{{ 2.567|round }} {{ 2.567|round(2) }} {{ 2.5|round }} {{ 3.5|round }} {{ 2.1|round(method='ceil') }} {{ 2.9|round(0, 'floor') }} {{ 5|round }} {{ 2.675|round(2) }} {{ 1234.5|round(-2) }} {{ 0.5|round }} {{ -2.345|round(2, 'ceil') }}
{{ 'a'|round }}
{{ -5|abs }} {{ -5.5|abs }} {{ true|abs }}
{{ 'a'|abs }}
{{ 5|string }} {{ none|string }} {{ [1]|string }} {{ 1.0|string }} {{ s|string|length }}
{{ 'abcdefghijklmnopqrstuvwxyz'|truncate(10) }} {{ 'hello big world out there'|truncate(12) }} {{ 'hello big world out there'|truncate(12, true) }} {{ 'hello big world'|truncate(9, end='!', leeway=0) }} {{ 'short'|truncate }}
{{ 'a b  c\nd'|wordcount }} {{ "it's a-b c_d"|wordcount }} {{ 'ab'|center(6) }}|
{{ range(7)|batch(3)|list }} {{ range(7)|batch(3, 'x')|list }} {{ range(7)|slice(3)|list }} {{ range(7)|slice(3, 'x')|list }}
{{ '%s is %d'|format('x', 5) }} {{ '%(a)s'|format(a=1) }}
{{ d|attr('items') is callable }} {{ d|attr('a') is defined }} {{ n|attr('real') }}
{{ xs|nosuchfilter }}
{% if false %}{{ xs|nosuchfilter }}{% endif %}ok
{% if true %}{{ xs|nosuchfilter }}{% endif %}
{{ s|upper|lower|title|replace('H', 'J') }} {{ (s|upper)[0] }} {{ s|upper ~ 'x' }} {{ -1|abs }} {{ 'a' + 'b'|upper }} {{ not xs|length }}
{{ xs|map('string')|list|join('+')|upper }} {{ (xs|sort)[0] }} {{ xs|first|string ~ '!' }}
{{ xs|default(1, 2, 3) }}
{{ s|upper(1) }}
{{ s|replace('a') }}
{{ s|trim(chars='Hd') }}
""")

group("markup", r"""
{{ html|e }} {{ html|escape|e }} {{ html|safe }} {{ html|e|length }} {{ 5|e }} {{ none|e }} {{ html|forceescape }} {{ html|safe|forceescape }}
{{ html|safe + html }} {{ html + (html|safe) }} {{ html|safe ~ html }} {{ (html|safe) + 'x' + '<' }} {{ 'a'|safe + 1|string }}
{{ 'a'|safe + 1 }}
{{ ('<'|safe) * 2 + '<' }} {{ (html|safe)[0] + '<' }} {{ (html|safe).upper() + '<' }} {{ (html|safe).replace('b', '<') }} {{ (html|safe)|replace('b', '<') }}
{{ ['<'|safe, '<']|join(',') }} {{ '-'|safe|join(['<']) }} {{ (','|safe).join(['<', '>']) }} {{ ','.join(['<'|safe, '<']) }}
{{ ('%s'|safe) % '<' }} {{ ('{}'|safe).format('<') }} {{ ('%s'|safe)|format('<') }} {{ 'a' is escaped }} {{ ('a'|safe) is escaped }} {{ [('a'|safe)] }}
{{ 'x' ~ (html|safe) ~ '<' }} {{ (html|safe|string) + '<' }} {{ (html|safe|trim) + '<' }} {{ (html|safe|upper) + '<' }} {{ (html|safe).split('b')[0] + '<' }} {{ [1, {'a': '<'}]|tojson|safe }}
{% set x = html|safe %}{{ x + '<' }} {% set y %}{{ html|safe }}{% endset %}{{ y + '<' }}
{{ (html|safe) == html }} {{ (html|safe) in [html] }} {{ {'k<': 1}['k<'|safe] }} {{ html|safe|first ~ '<' }} {{ (html|safe|first) + '<' }} {{ (html|safe|indent) + '<' }} {{ (html|safe|reverse) + '<' }} {{ (html|safe|capitalize) + '<' }} {{ (html|safe|title) + '<' }}
""")

group("tests", r"""
{{ 1 is odd }} {{ 2 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 1.0 is odd }}
{{ none is none }} {{ 0 is none }} {{ missing is none }} {{ true is boolean }} {{ 1 is boolean }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ none is false }}
{{ 1 is integer }} {{ true is integer }} {{ 1.0 is integer }} {{ 1.0 is float }} {{ 1 is number }} {{ true is number }} {{ '1' is number }} {{ big is integer }}
{{ 'a' is string }} {{ 1 is string }} {{ d is mapping }} {{ xs is mapping }} {{ xs is sequence }} {{ s is sequence }} {{ d is sequence }} {{ 1 is sequence }} {{ range(3) is sequence }} {{ d.items() is sequence }} {{ xs|map('abs') is sequence }}
{{ xs is iterable }} {{ s is iterable }} {{ d is iterable }} {{ 1 is iterable }} {{ none is iterable }} {{ d.items() is iterable }} {{ xs|map('abs') is iterable }}
{{ 'abc' is lower }} {{ 'ABC' is upper }} {{ 'Abc' is lower }} {{ '' is lower }} {{ 'a1' is lower }} {{ 5 is lower }}
{{ range is callable }} {{ s.upper is callable }} {{ s is callable }} {{ dict is callable }} {{ namespace is callable }} {{ raise_exception is defined }} {{ strftime_now is callable }}
{{ 1 is eq 1 }} {{ 1 is equalto(1.0) }} {{ 1 is ne 2 }} {{ 2 is gt 1 }} {{ 2 is lt 1 }} {{ 2 is ge 2 }} {{ 2 is le 1 }} {{ 1 is in xs }} {{ 1 is in [1] }} {{ 'a' is in 'abc' }} {{ 5 is not in xs }}
{{ 1 is sameas 1 }} {{ none is sameas none }} {{ true is sameas 1 }} {{ 1 is sameas true }}
{{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ 'nope' is test }}
{{ 1 is not odd }} {{ 1 is not defined }} {{ missing is not defined }} {{ x is not none and 1 }} {{ not x is defined }} {{ 1 is odd and 2 is even }} {{ 1 is odd or y.z }}
{{ 'a' is string if true else 'b' }}
{{ (1 is odd) is boolean }} {{ xs|length is gt 2 }} {{ 3 + 4 is odd }} {{ 'a' ~ 'b' is string }}
{{ 1 is nosuchtest }}
{% if false %}{{ 1 is nosuchtest }}{% endif %}ok
{% if true %}{{ 1 is nosuchtest }}{% endif %}
{{ 'a' is odd }}
{{ 1 is divisibleby 0 }}
{{ 1 is gt 'a' }}
{{ d.a is defined }} {{ d.z is defined }} {{ d['z'] is defined }} {{ xs[9] is defined }} {{ deep.one.two is mapping }} {{ deep.one.zzz is defined }}
{{ deep.zzz.two is defined }}
""")

group("tojson", r"""
{{ d|tojson }} {{ xs|tojson }} {{ s|tojson }} {{ n|tojson }} {{ f|tojson }} {{ none|tojson }} {{ true|tojson }} {{ nested|tojson }} {{ []|tojson }} {{ {}|tojson }} {{ (1, 2)|tojson }}
{{ quotes|tojson }} {{ uni|tojson }} {{ html|tojson }} {{ '\x00\x1f\x7f\u2028'|tojson }} {{ uni|tojson(ensure_ascii=true) }} {{ '\x7f'|tojson(ensure_ascii=true) }} {{ uni|tojson(true) }}
{{ people|tojson(indent=2) }}
{{ nested|tojson(indent=4) }} {{ []|tojson(indent=2) }} {{ {}|tojson(indent=2) }} {{ [[], {}]|tojson(indent=1) }} {{ d|tojson(indent='--') }} {{ d|tojson(indent=0) }}
{{ d|tojson(separators=(',', ':')) }} {{ d|tojson(sort_keys=true) }} {{ nested|tojson(separators=(',', ':'), indent=1) }} {{ d|tojson(false, none, none, true) }} {{ d|tojson(indent=none) }}
{{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }} {{ numbers|tojson }} {{ big|tojson }} {{ 1e400|tojson }} {{ ('nan'|float)|tojson }}
{{ {(1, 2): 3}|tojson }}
{{ d.items()|tojson }}
{{ range(3)|tojson }}
{{ xs|map('abs')|tojson }}
{{ {'a': missing}|tojson }}
{{ {1: 1, 'a': 2}|tojson(sort_keys=true) }}
{{ {'b': {'z': 1, 'a': 2}, 'a': [{'y': 1, 'x': 2}]}|tojson(sort_keys=true, indent=1) }}
{{ d|tojson(nope=1) }}
{{ (s|tojson)|length }} {{ d|tojson|upper }} {{ d|tojson + '<' }}
""")

group("sets", r"""
{% set x = 1 %}{{ x }}{% set x = x + 1 %}{{ x }}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set (a, b) = [3, 4] %}{{ a }}{{ b }} {% set a, b = b, a %}{{ a }}{{ b }}
{% set a, = [5] %}{{ a }}
{% set a, b = [1] %}
{% set a, b = [1, 2, 3] %}
{% set a, b = 5 %}
{% set a, b = 'xy' %}{{ b }}{{ a }}
{% set x %}a{{ n }}b{% endset %}[{{ x }}] {% set x | upper %}abc{% endset %}{{ x }} {% set x | upper | replace('A', '-') %}abc{% endset %}{{ x }} {{ x is string }}
{% set x = 1, 2 %}{{ x }} {% set x = 1 if false else 2 %}{{ x }}
{% set x = 0 %}{% for i in xs %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}
{% set ns = namespace(x=0) %}{% for i in xs %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }} {{ ns.nope is defined }} {{ ns['x'] }}
{% set ns = namespace() %}{% set ns.a = 1 %}{% set ns.b = [ns.a] %}{{ ns.b }} {% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }} {% set ns = namespace([('q', 7)]) %}{{ ns.q }}
{% set d.a = 5 %}
{% set nothere.a = 5 %}
{% set ns = namespace(_x=1) %}
{% set ns = namespace() %}{% set ns._x = 1 %}
{% set ns = namespace() %}{% set ns.t %}block{% endset %}{{ ns.t }}
{% if true %}{% set x = 1 %}{% endif %}{{ x }} {% if false %}{% set y = 1 %}{% endif %}[{{ y }}]
{% for i in [1] %}{% set inner = 1 %}{% endfor %}[{{ inner }}]
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}[{{ a }}] {% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }} {% with %}{% set q = 1 %}{{ q }}{% endwith %}[{{ q }}]
{% set true = 1 %}
{% set 1 = 1 %}
{% set x = %}
{% set n = n + 1 %}{{ n }} {% set messages = [1] %}{{ messages }}
{% set ns = namespace(a=1) %}{% if true %}{% set ns.a = 2 %}{% endif %}{{ ns.a }}{% set ns2 = ns %}{% set ns2.a = 3 %}{{ ns.a }}
{% filter upper %}abc {{ s }}{% endfilter %} {% filter trim|replace('a', 'b') %}  a a {% endfilter %}|{% filter indent(2, first=true) %}x{% endfilter %}
{% filter upper %}x
{% set x %}{% set inside = 1 %}{{ inside }}{% endset %}{{ x }}[{{ inside }}]
{% generation %}{% set g = 1 %}abc{{ g }}{% endgeneration %}[{{ g }}]
{% print 1, 'a' %}|{% print n %}
""")

group("loops", r"""
{% for x in xs %}{{ x }},{% endfor %} {% for x in [] %}x{% else %}empty{% endfor %} {% for x in xs %}x{% else %}no{% endfor %}
{% for x in xs %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}
{% for x in xs %}[{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }}]{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}
{% for x in xs %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{% endfor %} {% for x in [1, 1, 2] %}{{ loop.changed(x) }} {% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }} {% endfor %}{% for k in d %}{{ k }}{% endfor %} {% for k, v in d|items %}{{ k }}{{ v }}{% endfor %} {% for k, v in d|dictsort %}{{ k }}{{ v }}{% endfor %}
{% for x in xs if x > 1 %}{{ x }}:{{ loop.index }}/{{ loop.length }}{{ loop.last }} {% endfor %} {% for x in xs if x > 9 %}x{% else %}none{% endfor %}
{% for c in 'héy' %}{{ c }}.{% endfor %} {% for i in range(3) %}{{ i }}{% endfor %} {% for i in range(5, 0, -2) %}{{ i }}{% endfor %} {% for i in range(0) %}{% else %}zero{% endfor %}
{% for x in xs %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %} {% for x in xs %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %} {% for x in xs %}{% break %}{% else %}e{% endfor %}|{% for x in xs %}{% continue %}{% else %}f{% endfor %}|{% for x in xs %}{% if loop.last %}{% break %}{% endif %}{% else %}g{% endfor %}|
{% for a, b in [[1, 2], [3, 4]] %}{{ a }}{{ b }};{% endfor %} {% for (a, b), c in [[[1, 2], 3]] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for x, in [[1]] %}{{ x }}{% endfor %}
{% for a, b in [[1]] %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for x in 5 %}{% endfor %}
{% for x in none %}{% endfor %}
{% for x in xs %}{% for y in xs %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}
{% for x in xs %}{% set outer = loop %}{% for y in [1, 2] %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}
{% for x in [1, [2, [3, 4]], 5] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}
{% for x in xs %}{{ loop([1]) }}{% endfor %}
{% set ns = namespace(stop=false) %}{% for x in xs if not ns.stop %}{{ x }}{% if x == 1 %}{% set ns.stop = true %}{% endif %}{% endfor %}
{% set ns = namespace(stop=false) %}{% for x in xs if not ns.stop %}{{ x }}{{ loop.last }}{% if x == 1 %}{% set ns.stop = true %}{% endif %}{% endfor %}
{% for x in xs|map('string') %}{{ x }}{{ loop.last }}{{ loop.length }} {% endfor %} {% for x in xs|reverse %}{{ x }}{% endfor %} {% for x in xs[::-1] %}{{ x }}{% endfor %}
{% for x in xs %}{{ x }}{% endfor %}[{{ x }}][{{ loop }}]
{% for n in xs %}{{ n }}{% endfor %}{{ n }}
{% for x in 1, 2, 3 %}{{ x }}{% endfor %} {% for x in (1, 2) if x %}{{ x }}{% endfor %}
{% for x in xs if loop.index > 1 %}{% endfor %}
{% for x in xs if loop is defined %}x{% else %}undefined loop{% endfor %}
{{ loop }}{% for x in [1] %}{{ loop is defined }}{% endfor %}
{% break %}
{% for x in xs %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
{% for loop in xs %}{% endfor %}
{% for x in xs %}{{ loop.nope is defined }}{{ loop['index'] }}{% endfor %}
{% for x in xs %}{% if loop.first %}F{% elif loop.last %}L{% else %}M{% endif %}{% endfor %}
{% for m in people %}{% for t in m.tags %}{{ m.name }}{{ t }}{% else %}-{% endfor %}{% endfor %}
{% for x in xs %}{% set y = x %}{{ y }}{% endfor %}{% for k in {'a': 1} %}{{ k }}{% endfor %}
{% set g = xs|map('string') %}{% for x in g %}{{ x }}{% endfor %}{% for x in g %}again{% else %}spent{% endfor %}
{% for x in range(100001) %}{% endfor %}
{{ range(3) }} {{ range(1, 3) }} {{ range(5)|list }} {{ range(5, 1)|list }} {{ range(0, 10, 3)|list }} {{ 3 in range(5) }} {{ 5 in range(0, 10, 5) }} {{ range(3)[1] }} {{ range(2) == range(0, 2) }}
{{ range(1, 2, 0) }}
{{ range('a') }}
{{ range() }}
""")

group("macros", r"""
{% macro m(a, b=2) %}{{ a }}-{{ b }};{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(a=5) }}{{ m(b=1, a=0) }}{{ m() }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}
{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }} {% macro k(a=[], b={}) %}{{ a }}{{ b }}{% endmacro %}{{ k() }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }} {{ m() }}
{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}
{% macro m() %}{{ late }}{% endmacro %}{% set late = 1 %}{{ m() }}
{% macro m() %}[{{ x }}]{% endmacro %}{% for x in xs %}{{ m() }}{% endfor %}
{% macro m() %}{% set inside = 1 %}{{ inside }}{% endmacro %}{{ m() }}[{{ inside }}]
{% macro wrap() %}<{{ caller() }}>{% endmacro %}{% call wrap() %}body{{ n }}{% endcall %}
{% macro each(xs) %}{% for x in xs %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(v) each(xs) %}[{{ v }}]{% endcall %} {% call(v, w=9) each([1]) %}{{ v }}{{ w }}{% endcall %}
{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}
{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
{% macro m() %}a{% endmacro %}{{ m() is string }} {{ m()|upper }} {{ m() ~ m() }} {{ m() + 'b' }} {{ m }} {{ m.name }}
{% macro m(x) %}{{ x|upper }}{% endmacro %}{{ xs|map('string')|list }}{{ m('a') }}{% set f = m %}{{ f('b') }}
{% macro a() %}A{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}
{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}{{ m(*[5], **{'b': 6}) }}
{% if true %}{% macro c() %}in-if{% endmacro %}{% endif %}{{ c() }}
{{ before() }}{% macro before() %}{% endmacro %}
{% macro m(s) %}{{ s }}{% endmacro %}{{ m(s) }}{{ m(s='x') }}{{ s }}
{% macro html() %}<b>{% endmacro %}{{ html() }}{{ html()|length }}{{ html() + '<' }}
{% macro m(a=1, b) %}{% endmacro %}
{% macro m(a) %}{% if a %}{% for x in a %}{{ x }}{% endfor %}{% endif %}{% endmacro %}{{ m([1, 2]) }}{{ m(none) }}|{{ m() }}|
{% macro m(caller=none) %}{{ caller }}{% endmacro %}{{ m() }}
{{ raise_exception('stop: ' ~ n) }}
{{ raise_exception(5) }}
{% if false %}{{ raise_exception('never') }}{% endif %}fine
{{ strftime_now('%Y-%m-%d %H:%M:%S %B %b %A %a %j %p %I %y %e %-d %% %U %W %w %u') }} {{ strftime_now('%d %b %Y') }}
{{ dict(a=1, b=2) }} {{ dict([('x', 1)]) }} {{ dict(d, z=9) }} {{ dict() }} {{ dict(d).a }}
""")

group("blocks", r"""
{% if n == 3 %}three{% elif n == 2 %}two{% else %}other{% endif %} {% if no %}a{% elif yes %}b{% endif %} {% if no %}a{% endif %}|
{% if n > 2 and (s or missing.x) %}ok{% endif %}{% if not no %}not{% endif %}{% if n in xs %}in{% endif %}{% if n is defined and n is not none %}def{% endif %}
{# comment #}a{# multi
{% raw %}{{ n }}{% if %}{% endraw %}
{%- raw -%}  {{ n }}  {%- endraw -%}  x
{% if %}
{% if n %}
{% endif %}
{% for x xs %}{% endfor %}
{{ n
{{ }}
{{ 'a }}
{{ 1 2 }}
{{ a..b }}
{{ (1 }}
{{ [1 }}
{{ 1] }}
{{ n. }}
{{ | upper }}
{{ n | }}
{{ n is }}
{{ n if }}
{{ f(a=1, 2) }}
{% nosuch %}
{% set %}
{% for %}
{% macro %}
{# open
{{ 'a' if n == 3 }}{{ {'a': {'b': 1}}.a.b }}{{ {'a': {'b': 1}} }}{{ {'a': '}}'} }}{{ '%}' }}
{{ {'x': 1}.x }} {{ [1, 2][0] }} {{ (1, 2)[1] }} {{ 'abc'[1] }} {{ 'abc'.upper() }} {{ ('a' ~ 'b').upper() }} {{ 5 .real }}
{{ "a" if n else "b" }}{{ n|string if n else '' }}{{ (n if n else 0) + 1 }}{{ n if n else 0 + 1 }}
a{{ 'x' -}}   b {{- 'y' }} c{{+ 'z' }}
{{ n }}{{ n }} {{ n -}} {{ n }} {{- n }}
{{ 'multi' 'part' ~ 'x' }} {{ 1if true else 2 }} {{ not none }}
{{ none is none is boolean }}
{{ x.y if x is defined else 'undef' }} {{ messages }} {{ tools }} {{ documents }} {{ add_generation_prompt }} {{ bos_token }}{{ eos_token }}
{{ s.upper().lower().split(',')[0].strip()|title }} {{ people[0].tags|join('/')|upper }} {{ d.get('zz', {}).get('y', 'deflt') }} {{ (d.get('zz') or {}).get('q') }}
""")

# Differences that random expressions found.
group("found", r"""
{{ '{:>6}'.format([1]) }}
{{ '{:>6}'.format(none) }}
{{ '{:>6}|{}'.format(true, true) }} {{ '%d|%5.1f|%s' % (true, false, true) }}
{{ xs|truncate(7) }} {{ d|truncate(5, true) }} {{ missing|truncate }}|
{{ words|truncate(5, true, leeway=0, end='') }}
{{ xs|sort(attribute='nope') }} {{ people|sort(attribute='nope')|length }}
{{ 'x' % [1, 2] }} {{ 'x' % d }} {{ 'x' % missing }} {{ 'x' % range(3) }}
{{ 'x' % 'y' }}
{{ 'x' % 5 }}
{{ uni.swapcase() }} {{ 'ΑΣ Σ'|title }} {{ 'ΑΣ Σ'.title() }} {{ 'ΑΣ'.capitalize() }}
{{ -0.0 % 10 }} {{ 0.0 % -10 }} {{ -0.0 // 10 }} {{ 5.0 % -5 }}
{{ ('<'|e).join(xs) }} {{ ('<'|e).join([none, 1.5, '<']) }}
""")

whole(
    "whitespace",
    "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "a\n  {% if true %}  \nb\n  {% endif %}  \nc\n",
    "a\n  {%- if true -%}  \n b \n  {%- endif -%}  \nc\n",
    "a\n  {%+ if true %}\nb\n  {%+ endif +%}\nc\n",
    "a\n  {{ 1 }}\n  {{- 2 }}\n  {{ 3 -}}\n  b\n",
    "  {# c #}\n  a {# d #} b\n{#- e -#}\n c\n  {#+ f +#}\n g",
    "x {% if true %} y {% endif %} z",
    "x\t{% if true %}\ty\t{% endif %}\tz\n",
    "\n\n{% set x = 1 %}\n\n{{ x }}\n\n",
    "{% for i in [1, 2] %}\n  {{ i }}\n{% endfor %}\n",
    "{% for i in [1, 2] -%}\n  {{ i }}\n{%- endfor %}\n",
    "  {% raw %}\n  {{ x }}\n  {% endraw %}\n  y\n",
    "  {%- raw -%}\n  {{ x }}\n  {%- endraw -%}\n  y\n",
    "{% raw %}a{%- endraw %}\nb",
    "{% raw %}\n{% endraw +%}\nb",
    "a\r\nb\rc\n{% if true %}\r\nd\r\n{% endif %}\r\ne\r\n",
    "a\n\n",
    "a\n",
    "\n",
    "",
    "   ",
    "{{ 'a' }}\n",
    "{{ 'a' }}\n\n{{ 'b' }}\n",
    "{%- if true %}a{% endif -%}\n\n\nb",
    "a \n \t {%- if true %} b{% endif %}",
    "a\n \u00a0 {% if true %}b{% endif %}",
    "a\n\u3000{%- if true -%}\u3000b{% endif %}",
    "{% if true %}\n\n\na{% endif %}",
    "a{# x #}\nb\n  {# y #}\nc",
    "{% if true %}a{% endif %}\n{% if true %}b{% endif %}\n\n{% if true %}c{% endif %}",
    "  {% if true %}a\n  {% endif %}  {% if true %}b{% endif %}\n",
    "{{ 1 }}  {% if true %}x{% endif %}",
    "{{ 1 -}}\n  {% if true %}x{% endif %}",
    "{%- set x -%}\n  a\n  b\n{%- endset -%}\n[{{ x }}]",
    "{% set x %}\n  a\n{% endset %}[{{ x }}]",
    "{% macro m() %}\n  a\n{% endmacro %}\n[{{ m() }}]",
    "{% macro m() -%}\n  a\n{%- endmacro %}\n[{{ m() }}]",
    "a\n  {% set x = 1 %}  b\n",
    "a\x0b{% if true %}b{% endif %}\x0c\n{%- if true %}c{% endif %}",
    "{%if true%}a{%endif%}{{1}}{{-1-}}{%-if true-%} b {%-endif-%}",
    "{% if true\n%}\na\n{%\nendif %}\nb",
    "{{\n  'a'\n  ~\n  'b'\n}}\nc",
    "{% generation %}\na\n{% endgeneration %}\nb",
    "{{ '{{' }} {{ '{%' }} {{ '#}' }} { { } } {a} {# {{ #} % } }}",
    "{{ {} }}{{ { } }}{{ {'a':{}} }}",
    "a\n{#\n multi\n#}\nb\n  {#- x\n -#}  \nc",
    "{{ \"line\nbreak\" }}|{{ 'cr\r\nlf' }}",
    "{% for x in [1] %}{# c #}\n{{ x }}{% endfor %}",
    "{% if 1 %}{%- if 2 -%} a {%- endif -%} b {%- endif +%}\n c",
    "{% for i in range(3) %}{% for j in range(2) if j %}{{ i }}{{ j }}{% if not loop.last %},{% endif %}{% endfor %}{% if i == 1 %}{% break %}{% endif %};{% endfor %}",
)
