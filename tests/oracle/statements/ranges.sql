-- Ranges and multiranges.
SELECT «days|daterange(lower(days), NULL)» «@>|<@|&&|=|<<|>>|&<|&>» days FROM bookings WHERE room = $1;
SELECT «lower(during)|upper(during)|isempty(during)|lower_inc(during)|upper_inf(days)|during * during|during + during|during - during|range_merge(days, days)|range_agg(days)|range_intersect_agg(days)|multirange(days)|unnest(multirange(days))|during::text|days::text|days::text::tstzrange|lower(days)::timestamptz|slots[1] * int4range(1, 5)|upper(during) - lower(during)» FROM bookings «|GROUP BY during, days, slots»;
SELECT room FROM bookings WHERE during «&&|@>|<@» «tsrange('2020-01-01', '2021-01-01')|'[2020-01-01,2021-01-01)'|'[2020-01-01,2021-01-01)'::tsrange|tsrange($1, $2, '[]')|tsrange(NULL, '2020-01-01')|'[now,infinity)'::tsrange|tsrange(now()::timestamp, NULL)|'empty'|during»;
SELECT room FROM bookings WHERE days @> «'2020-02-02'::date|date '2020-01-01'|CURRENT_DATE|'today'::date|daterange('2020-01-01', '2020-02-01')|$1::date»;
SELECT room FROM bookings WHERE during && daterange('2020-01-01', '2020-02-01')::text::tsrange;
SELECT int4range(age, age + 1), numrange(balance, NULL), int8range(id, id, '[]'), daterange(birthday, birthday), tstzrange(created_at, NULL), tsrange(updated_at, updated_at) FROM users;
SELECT valid, valid @> created_at, valid @> now(), valid @> '2020-01-01'::timestamptz, valid && '[2020-01-01,)', lower(valid) FROM users;
SELECT r, r @> 'a'::text, text_range('a', 'z'), text_range(name, 'z') && r, lower(r), r = r FROM typed, users;
SELECT m, m @> 'good'::mood, mood_range('bad', 'good'), upper(m) FROM with_mood_range;
SELECT id FROM with_mood_range;
SELECT available @> 5, available && int4range(1, $1), period @> '2020-01-01'::date, available = 'empty' FROM products ORDER BY available, period DESC;
SELECT «int4multirange(available)|int4multirange(int4range(1, 2), available)|datemultirange(period)|'{[1,2),[3,4)}'::int4multirange @> 1|'{[2020-01-01,2020-02-01)}'::datemultirange @> period|'{[today,tomorrow)}'::datemultirange @> period|range_agg(available)|range_agg(available) @> 1|nummultirange()» FROM products «|GROUP BY available, period»;
SELECT ag, ah, lower(ah), ah @> x FROM many_types;
SELECT room, during -|- during, during << during FROM bookings GROUP BY room, during;
