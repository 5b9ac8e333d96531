-- JSON, jsonb, paths, XML.
SELECT settings «-> 'a'|->> 'a'|-> 0|->> 0|#> '{a,b}'|#>> '{a,b}'|#> ARRAY['a', name]|@> '{"a": 1}'|<@ '{"a": 1}'|? 'a'|?& ARRAY['a']|- 'a'|- 0|- ARRAY['a', 'b']|#- '{a}'|= '{}'|@? '$.a'|@@ '$.a > 1'|-> name ->> 'x'|-> 'a' -> 'b' -> 'c'» FROM users;
SELECT data -> 'a', raw -> 'a' ->> 'b', raw #>> '{a}', data || '{"x": 1}' FROM documents;
SELECT «jsonb_array_length(settings)|jsonb_typeof(settings)|jsonb_strip_nulls(settings)|jsonb_pretty(settings)|jsonb_set(settings, '{a}', '1')|jsonb_set(settings, '{a}', to_jsonb(name), true)|jsonb_set_lax(settings, '{a}', NULL)|jsonb_insert(settings, '{a}', '1')|jsonb_extract_path(settings, 'a', 'b')|jsonb_extract_path_text(settings, 'a')|jsonb_path_query(settings, '$.a')|jsonb_path_query_array(settings, '$.a[*] ? (@ > 1)')|jsonb_path_query_first(settings, '$.a')|jsonb_path_exists(settings, '$.a ? (@ == $x)', '{"x": 1}')|jsonb_path_match(settings, 'exists($.a)')|jsonb_path_query_tz(settings, '$.a.datetime()')|jsonb_path_exists_tz(settings, '$.a ? (@.datetime() < "2020-01-01".datetime())')|jsonb_path_query(settings, '$.a.datetime()')|jsonb_each(settings)|jsonb_each_text(settings)|jsonb_object_keys(settings)|jsonb_array_elements(settings)|jsonb_array_elements_text(settings)|jsonb_build_object('a', id, 'b', created_at)|jsonb_build_array(id, name, birthday)|json_build_object('a', id)|json_build_array(1, name)|to_json(name)|to_jsonb(created_at)|to_json(u)|row_to_json(u, true)|json_object(tags)|json_object(ARRAY['a', name])|jsonb_object(tags, tags)|array_to_json(scores)|jsonb_populate_record(NULL::pair, settings)|json_populate_record(NULL::day_row, settings::json)|jsonb_populate_recordset(NULL::users, settings)|jsonb_to_tsvector('english', settings, '["string"]')|to_tsvector('english', settings)|jsonb_concat(settings, settings)» FROM users u;
SELECT * FROM users, jsonb_array_elements(settings) AS e WHERE e ->> 'x' = 'y';
SELECT k, v FROM users, jsonb_each_text(settings) AS t (k, v);
SELECT e.value ->> 'a' FROM users u CROSS JOIN LATERAL jsonb_array_elements(u.settings -> 'list') WITH ORDINALITY AS e (value, n) ORDER BY n;
SELECT x.* FROM users, jsonb_to_record(settings) AS x (a int, b text, d date);
SELECT x.* FROM users, jsonb_to_recordset(settings) AS x (a int, b text);
SELECT x.* FROM documents, json_to_record(raw) AS x (a int, d timestamptz);
SELECT id FROM users WHERE settings @> «'{"a": [1]}'|$1|jsonb_build_object('a', $1::text)|to_jsonb(age)» AND settings ->> 'x' IS NOT NULL;
SELECT id FROM users ORDER BY «settings ->> 'a'|(settings ->> 'n')::int DESC|settings|settings -> 'a'»;
SELECT settings ->> 'a', count(*) FROM users GROUP BY settings ->> 'a';
SELECT jsonb_agg(settings -> 'a') FILTER (WHERE settings ? 'a') FROM users;
SELECT jsonb_agg(jsonb_build_object('id', o.id, 'items', (SELECT jsonb_agg(i) FROM items i WHERE i.order_id = o.id))) FROM orders o;
SELECT «xmlelement(NAME a, name)|xmlelement(NAME a, xmlattributes(id AS b), name)|xmlforest(name, id)|xmlconcat(xmlelement(NAME a))|xmlpi(NAME php)|xmlroot(doc, VERSION '1.0')|xmlparse(DOCUMENT body)|xmlparse(CONTENT body)|xmlserialize(CONTENT doc AS text)|xpath('/a', doc)|xpath_exists('/a', doc)|xmlexists('/a' PASSING doc)|doc IS DOCUMENT|doc IS NOT DOCUMENT|xml_is_well_formed(body)|xml_is_well_formed_document(body)|xmlcomment(body)|doc::text|(xpath('/a/text()', doc))[1]::text» FROM (SELECT id, body AS name, doc, body FROM documents) q;
SELECT x.* FROM documents, xmltable('/a' PASSING doc COLUMNS b int PATH 'b', c text) x;
SELECT query_to_xml('SELECT 1', true, true, ''), table_to_xml('users', true, true, '') FROM users;
--! from 16
SELECT JSON_OBJECT('a': id, 'b': name) FROM users;
--! from 16
SELECT JSON_ARRAY(id, name, birthday) FROM users;
--! from 16
SELECT JSON_ARRAYAGG(name ORDER BY id), JSON_OBJECTAGG(name: id) FROM users;
--! from 16
SELECT name IS JSON, name IS JSON OBJECT, name IS NOT JSON ARRAY WITH UNIQUE KEYS FROM users;
--! from 16
SELECT JSON_ARRAY(SELECT id FROM orders) FROM users;
--! from 16
SELECT JSON_OBJECT('a': now()) FROM users;
--! from 16
SELECT JSON_ARRAY(id RETURNING jsonb), JSON_OBJECT('x' VALUE id ABSENT ON NULL RETURNING text) FROM users;
--! from 17
SELECT JSON_VALUE(settings, '$.a'), JSON_QUERY(settings, '$.b'), JSON_EXISTS(settings, '$.c') FROM users;
--! from 17
SELECT JSON_VALUE(settings, '$.a' RETURNING date) FROM users;
--! from 17
SELECT x.* FROM users, JSON_TABLE(settings, '$[*]' COLUMNS (a int PATH '$.a', d date PATH '$.d')) x;
--! from 17
SELECT JSON(name), JSON_SERIALIZE(settings) FROM users;
SELECT json_scalar(age), json_array(age, 1), json_arrayagg(age) FROM users GROUP BY age;
SELECT settings ?| ARRAY['a'] FROM users;
