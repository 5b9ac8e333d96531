-- Enums, domains, extension types, and types that may not be kept.
SELECT «m|m = 'good'|m < 'good'|m IN ('bad', 'good')|m::text|m::varchar|m || 'x'|coalesce(m, 'bad')|CASE m WHEN 'good' THEN 1 END|max(m)|array_agg(m)|ms|ms[1]|'good' = ANY (ms)|ms @> ARRAY['good']::mood[]|unnest(ms)|m > $1|m = $1|enum_first(m)|enum_range(m)|greatest(m, 'bad')|m IS NULL|to_json(m)|format('%s', m)|length(m::text)|upper(m::text)|m::text::date» FROM typed «|GROUP BY m, ms»;
SELECT «d|d = 'x'|d::text|d ~ 'x'|lower(d)|d LIKE 'x%'|ds[1]|coalesce(d, 'y')|max(d)|'x'::plain_domain|CAST($1 AS plain_domain)|d::varchar::plain_domain|id::text::plain_domain» FROM typed «|GROUP BY d, ds, id»;
SELECT a FROM with_cast_enum WHERE a = 'a' AND a::text = 'x' AND length(a) = 1;
SELECT rank, rank::int, rank::int + 1 FROM with_ranked;
SELECT id FROM with_ranked ORDER BY id;
SELECT email = 'X', email LIKE 'x%', lower(email), email || 'x', email::text, max(email), count(DISTINCT email) FROM users GROUP BY email;
SELECT attributes -> 'a', (attributes -> 'a')::int, akeys(attributes), each(attributes), hstore_to_json(attributes), attributes['a'], delete(attributes, 'a'), exist(attributes, 'a'), slice(attributes, ARRAY['a']), hstore(name, description), hstore('a', 'b'), populate_record(NULL::pair, attributes) FROM products;
SELECT attributes -> 'a', attributes::json, attributes || hstore('x', name) FROM products;
SELECT populate_record(NULL::day_row, hstore('d', name)) FROM products;
SELECT skeys(attributes), svals(attributes) FROM products;
SELECT e.key, e.value FROM products p, each(p.attributes) e;
SELECT po, po + 1, pe, pe::positive, es, es = 'a@b', dd, dd + 1, ms FROM rows_of;
SELECT id FROM rows_of WHERE po = $1 AND es = $2 AND dd = $3;
SELECT id FROM rows_of WHERE dd = «'2020-01-01'|'today'|$1|CURRENT_DATE»;
SELECT «5::positive|$1::positive|age::positive|6::positive_even|name::email_domain|'a@b'::email_domain|birthday::day_domain|'2020-01-01'::day_domain|'{2020-01-01}'::moments|ARRAY[created_at]::moments|NULL::lying_domain|NULL::clock_domain|1::checked_domain» FROM users;
SELECT «a|b|c|d|e|f|g|h|i|j|k|l|m|n|o|p|q|r|s|t|u|v|w|x|y|z|aa|ab|ac|ad|ae|af|ag|ah|ai|aj|ak|al|am|an» FROM many_types;
SELECT «a|b|c|d|e|f|g|h|i|m|n|o|p|q|r|s|t|u|v|w|x|y|z|aa|ab|ac|ad|ae|af|ag|ah|ai|aj|ak|al|am»::text FROM many_types WHERE a;
SELECT «a|b|c|d|e|f|g|h|i|m|n|o|p|q|r|s|t|u|v|w|x|y|z|aa|ab|ac|ad|ae|af|ag|ah|ai|aj|ak|am» AS v, count(*) FROM many_types GROUP BY 1 ORDER BY 1;
