-- SPDX-License-Identifier: Apache-2.0
\echo Use "CREATE EXTENSION pg_deeplake" to load this file. \quit

-- Everything is created in the schema that CREATE EXTENSION names, or else in the first of the
-- search path: public, as a rule. Queries must have it in their search path.

-- What a column means. Each behaves like the type it is made of.

CREATE DOMAIN image AS bytea;
CREATE DOMAIN video AS bytea;
CREATE DOMAIN file AS bytea;
CREATE DOMAIN segment_mask AS bytea;
CREATE DOMAIN binary_mask AS bytea;
CREATE DOMAIN mesh AS bytea;
CREATE DOMAIN medical AS bytea;
CREATE DOMAIN deeplake_polygon AS bytea;
CREATE DOMAIN bounding_box AS float4[];
CREATE DOMAIN deeplake_point AS float4[];
CREATE DOMAIN class_label AS int4;
CREATE DOMAIN file_id AS uuid;

-- An empty array has no dimensions, and is no vector. pg_catalog: somebody may have a function
-- of that name for just this type in the schema that this is created in.
CREATE DOMAIN embedding AS float4[]
    CONSTRAINT embedding_has_one_dimension
    CHECK (VALUE IS NULL OR coalesce(pg_catalog.array_ndims(VALUE), 0) = 1);
CREATE DOMAIN embedding_2d AS float4[][]
    CONSTRAINT embedding_2d_has_two_dimensions
    CHECK (VALUE IS NULL OR coalesce(pg_catalog.array_ndims(VALUE), 0) = 2);

-- Vectors. COST: that of 768 elements beside a cheap operator's, so that the planner takes
-- workers for large tables; most of it goes into fetching the vector from where it is toasted.

-- For the functions of <#>: loads the library when a query is planned, in time for its hook.
CREATE FUNCTION deeplake_planner_support(internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

CREATE FUNCTION deeplake_similarity(float4[], float4[]) RETURNS float4
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 SUPPORT deeplake_planner_support
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION deeplake_similarity IS
    'implementation of <#>: cosine similarity, or MaxSim where the left array has two dimensions';

CREATE FUNCTION deeplake_cosine_similarity(float4[], float4[]) RETURNS float4
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME';

CREATE FUNCTION deeplake_maxsim(float4[], float4[]) RETURNS float4
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS 'MODULE_PATHNAME';

-- No COMMUTATOR: MaxSim has none.
CREATE OPERATOR <#> (LEFTARG = float4[], RIGHTARG = float4[], FUNCTION = deeplake_similarity);

-- True where it holds for every pair of elements. They have no operators: < and = on float4[]
-- are the server's own, and with others in the search path plain SQL would mean something else
-- for every table with such a column, and = would lose its indexes, hashes and merges.

CREATE FUNCTION deeplake_vector_lt(float4[], float4[]) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_vector_le(float4[], float4[]) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_vector_eq(float4[], float4[]) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_vector_ne(float4[], float4[]) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_vector_ge(float4[], float4[]) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_vector_gt(float4[], float4[]) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME';
-- 0: all equal; -1: all less; else 1. Not an order.
CREATE FUNCTION deeplake_vector_compare(float4[], float4[]) RETURNS integer
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME';

-- Text within text, byte by byte.

CREATE FUNCTION deeplake_text_contains(text, text) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 4 AS 'MODULE_PATHNAME';

-- The planner asks the column's statistics, as it does for LIKE.
CREATE OPERATOR @> (LEFTARG = text, RIGHTARG = text, FUNCTION = deeplake_text_contains,
    RESTRICT = matchingsel, JOIN = matchingjoinsel);

-- In SQL, so that the planner sees the operator, and indexes on it.
CREATE FUNCTION contains(text, text) RETURNS boolean
    LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE COST 4
    RETURN $1 @> $2;

-- Hybrid search: a vector and a text; with weights on the side of the query.

CREATE TYPE deeplake_hybrid_record AS (embedding float4[], text_value text);
CREATE TYPE deeplake_hybrid_record_weighted AS
    (embedding float4[], text_value text, embedding_weight float8, text_weight float8);

CREATE FUNCTION deeplake_hybrid_record(float4[], text)
    RETURNS deeplake_hybrid_record_weighted
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_hybrid_record(float4[], text, float8, float8)
    RETURNS deeplake_hybrid_record_weighted
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

CREATE FUNCTION deeplake_hybrid_record_to_weighted(deeplake_hybrid_record)
    RETURNS deeplake_hybrid_record_weighted
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'deeplake_hybrid_to_weighted';
CREATE FUNCTION deeplake_hybrid_record_to_plain(deeplake_hybrid_record_weighted)
    RETURNS deeplake_hybrid_record
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'deeplake_hybrid_to_plain';

CREATE CAST (deeplake_hybrid_record AS deeplake_hybrid_record_weighted)
    WITH FUNCTION deeplake_hybrid_record_to_weighted(deeplake_hybrid_record) AS IMPLICIT;
CREATE CAST (deeplake_hybrid_record_weighted AS deeplake_hybrid_record)
    WITH FUNCTION deeplake_hybrid_record_to_plain(deeplake_hybrid_record_weighted) AS ASSIGNMENT;

-- Tables. The handler is the server's own, so a table USING deeplake is a heap, and can be read
-- on a server that does not have the library.

CREATE ACCESS METHOD deeplake TYPE TABLE HANDLER heap_tableam_handler;
COMMENT ON ACCESS METHOD deeplake IS 'the server''s heap, under the name that Deeplake uses';

CREATE FUNCTION create_deeplake_table(tablename text, path text) RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION create_deeplake_table IS
    'fails: native datasets cannot be opened here; use CREATE TABLE ... USING deeplake';
-- Search by text, and by both.

-- What the planner makes of text <#> text on a table's column that has a bm25 index; it cannot
-- be called otherwise.
CREATE FUNCTION deeplake_bm25_similarity_in
    (document text, query text, index regclass, row_table oid) RETURNS float4
    LANGUAGE C STABLE STRICT PARALLEL SAFE COST 400 AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_bm25_similarity_support(internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

-- BM25 by the statistics of the left column's bm25 index; 0, and a notice, where it has none.
CREATE FUNCTION deeplake_bm25_similarity(text, text) RETURNS float4
    LANGUAGE C STABLE STRICT PARALLEL SAFE COST 400
    SUPPORT deeplake_bm25_similarity_support AS 'MODULE_PATHNAME';
CREATE OPERATOR <#> (LEFTARG = text, RIGHTARG = text, FUNCTION = deeplake_bm25_similarity);

-- What the planner makes of a hybrid search; it cannot be called otherwise. Restricted: every
-- worker would find the candidates again.
CREATE FUNCTION deeplake_hybrid_search_in(embedding float4[], text_value text,
        query deeplake_hybrid_record_weighted, searched regclass, row_table oid,
        embedding_column int2, text_column int2, n_candidates int4)
    RETURNS float4
    LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED COST 500 AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_hybrid_search_support(internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

-- (vector_column, text_column)::deeplake_hybrid_record <#> deeplake_hybrid_record(…): the best n
-- rows of the table by each side (n = the LIMIT that is written in the query, at least 100) are
-- its candidates. They make the scores of both sides comparable (deeplake.hybrid_fusion), also
-- for rows that are none, so the value of a row is the same in every plan, with indexes and
-- without, with ORDER BY and without. What is NULL adds 0.
CREATE FUNCTION deeplake_hybrid_search(deeplake_hybrid_record, deeplake_hybrid_record_weighted)
    RETURNS float4
    LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 500
    SUPPORT deeplake_hybrid_search_support AS 'MODULE_PATHNAME';
CREATE OPERATOR <#> (LEFTARG = deeplake_hybrid_record,
    RIGHTARG = deeplake_hybrid_record_weighted, FUNCTION = deeplake_hybrid_search);

-- Indexes.

CREATE FUNCTION deeplake_index_handler(internal) RETURNS index_am_handler
    LANGUAGE C AS 'MODULE_PATHNAME';
CREATE ACCESS METHOD deeplake_index TYPE INDEX HANDLER deeplake_index_handler;
COMMENT ON ACCESS METHOD deeplake_index IS
    'WITH (index_type = bm25, exact_text, inverted, clustered, clustered_quantized, pooled_quantized)';

CREATE FUNCTION deeplake_index_check(regclass) RETURNS bigint
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION deeplake_index_check IS
    'verifies an index of deeplake_index against its table: the number of entries, or an error';

-- Of exact_text and inverted: support functions of the server's GIN. What the strategies above
-- 10 mean is in index/keys.c: GIN does not tell a support function the type of the operand.

CREATE FUNCTION deeplake_index_consistent_recheck
    (internal, smallint, text, integer, internal, internal, internal, internal)
    RETURNS boolean LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

CREATE FUNCTION deeplake_index_value_int2(int2, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_query_int2
    (int2, internal, smallint, internal, internal, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_compare_int2(int8, int8, smallint, internal)
    RETURNS integer LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_consistent_int2
    (internal, smallint, int2, integer, internal, internal, internal, internal)
    RETURNS boolean LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'deeplake_index_consistent_exact';
CREATE OPERATOR CLASS deeplake_int2_ops DEFAULT FOR TYPE int2 USING deeplake_index AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    OPERATOR 21 < (int2, int4), OPERATOR 22 <= (int2, int4), OPERATOR 23 = (int2, int4), OPERATOR 24 >= (int2, int4), OPERATOR 25 > (int2, int4),
    OPERATOR 31 < (int2, int8), OPERATOR 32 <= (int2, int8), OPERATOR 33 = (int2, int8), OPERATOR 34 >= (int2, int8), OPERATOR 35 > (int2, int8),
    FUNCTION 2 deeplake_index_value_int2(int2, internal, internal),
    FUNCTION 3 deeplake_index_query_int2
        (int2, internal, smallint, internal, internal, internal, internal),
    FUNCTION 4 deeplake_index_consistent_int2
        (internal, smallint, int2, integer, internal, internal, internal, internal),
    FUNCTION 5 deeplake_index_compare_int2(int8, int8, smallint, internal),
    STORAGE int8;

CREATE FUNCTION deeplake_index_value_int4(int4, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_query_int4
    (int4, internal, smallint, internal, internal, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_compare_int4(int8, int8, smallint, internal)
    RETURNS integer LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_consistent_int4
    (internal, smallint, int4, integer, internal, internal, internal, internal)
    RETURNS boolean LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'deeplake_index_consistent_exact';
CREATE OPERATOR CLASS deeplake_int4_ops DEFAULT FOR TYPE int4 USING deeplake_index AS
    OPERATOR 11 < (int4, int2), OPERATOR 12 <= (int4, int2), OPERATOR 13 = (int4, int2), OPERATOR 14 >= (int4, int2), OPERATOR 15 > (int4, int2),
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    OPERATOR 31 < (int4, int8), OPERATOR 32 <= (int4, int8), OPERATOR 33 = (int4, int8), OPERATOR 34 >= (int4, int8), OPERATOR 35 > (int4, int8),
    FUNCTION 2 deeplake_index_value_int4(int4, internal, internal),
    FUNCTION 3 deeplake_index_query_int4
        (int4, internal, smallint, internal, internal, internal, internal),
    FUNCTION 4 deeplake_index_consistent_int4
        (internal, smallint, int4, integer, internal, internal, internal, internal),
    FUNCTION 5 deeplake_index_compare_int4(int8, int8, smallint, internal),
    STORAGE int8;

CREATE FUNCTION deeplake_index_value_int8(int8, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_query_int8
    (int8, internal, smallint, internal, internal, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_compare_int8(int8, int8, smallint, internal)
    RETURNS integer LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_consistent_int8
    (internal, smallint, int8, integer, internal, internal, internal, internal)
    RETURNS boolean LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'deeplake_index_consistent_exact';
CREATE OPERATOR CLASS deeplake_int8_ops DEFAULT FOR TYPE int8 USING deeplake_index AS
    OPERATOR 11 < (int8, int2), OPERATOR 12 <= (int8, int2), OPERATOR 13 = (int8, int2), OPERATOR 14 >= (int8, int2), OPERATOR 15 > (int8, int2),
    OPERATOR 21 < (int8, int4), OPERATOR 22 <= (int8, int4), OPERATOR 23 = (int8, int4), OPERATOR 24 >= (int8, int4), OPERATOR 25 > (int8, int4),
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    FUNCTION 2 deeplake_index_value_int8(int8, internal, internal),
    FUNCTION 3 deeplake_index_query_int8
        (int8, internal, smallint, internal, internal, internal, internal),
    FUNCTION 4 deeplake_index_consistent_int8
        (internal, smallint, int8, integer, internal, internal, internal, internal),
    FUNCTION 5 deeplake_index_compare_int8(int8, int8, smallint, internal),
    STORAGE int8;

CREATE FUNCTION deeplake_index_value_float4(float4, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_query_float4
    (float4, internal, smallint, internal, internal, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_compare_float4(float8, float8, smallint, internal)
    RETURNS integer LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_consistent_float4
    (internal, smallint, float4, integer, internal, internal, internal, internal)
    RETURNS boolean LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'deeplake_index_consistent_exact';
CREATE OPERATOR CLASS deeplake_float4_ops DEFAULT FOR TYPE float4 USING deeplake_index AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    OPERATOR 51 < (float4, float8), OPERATOR 52 <= (float4, float8), OPERATOR 53 = (float4, float8), OPERATOR 54 >= (float4, float8), OPERATOR 55 > (float4, float8),
    FUNCTION 2 deeplake_index_value_float4(float4, internal, internal),
    FUNCTION 3 deeplake_index_query_float4
        (float4, internal, smallint, internal, internal, internal, internal),
    FUNCTION 4 deeplake_index_consistent_float4
        (internal, smallint, float4, integer, internal, internal, internal, internal),
    FUNCTION 5 deeplake_index_compare_float4(float8, float8, smallint, internal),
    STORAGE float8;

CREATE FUNCTION deeplake_index_value_float8(float8, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_query_float8
    (float8, internal, smallint, internal, internal, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_compare_float8(float8, float8, smallint, internal)
    RETURNS integer LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_consistent_float8
    (internal, smallint, float8, integer, internal, internal, internal, internal)
    RETURNS boolean LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'deeplake_index_consistent_exact';
CREATE OPERATOR CLASS deeplake_float8_ops DEFAULT FOR TYPE float8 USING deeplake_index AS
    OPERATOR 41 < (float8, float4), OPERATOR 42 <= (float8, float4), OPERATOR 43 = (float8, float4), OPERATOR 44 >= (float8, float4), OPERATOR 45 > (float8, float4),
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    FUNCTION 2 deeplake_index_value_float8(float8, internal, internal),
    FUNCTION 3 deeplake_index_query_float8
        (float8, internal, smallint, internal, internal, internal, internal),
    FUNCTION 4 deeplake_index_consistent_float8
        (internal, smallint, float8, integer, internal, internal, internal, internal),
    FUNCTION 5 deeplake_index_compare_float8(float8, float8, smallint, internal),
    STORAGE float8;

CREATE FUNCTION deeplake_index_value_numeric(numeric, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_query_numeric
    (numeric, internal, smallint, internal, internal, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_compare_numeric(numeric, numeric, smallint, internal)
    RETURNS integer LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_consistent_numeric
    (internal, smallint, numeric, integer, internal, internal, internal, internal)
    RETURNS boolean LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'deeplake_index_consistent_exact';
CREATE OPERATOR CLASS deeplake_numeric_ops DEFAULT FOR TYPE numeric USING deeplake_index AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    FUNCTION 2 deeplake_index_value_numeric(numeric, internal, internal),
    FUNCTION 3 deeplake_index_query_numeric
        (numeric, internal, smallint, internal, internal, internal, internal),
    FUNCTION 4 deeplake_index_consistent_numeric
        (internal, smallint, numeric, integer, internal, internal, internal, internal),
    FUNCTION 5 deeplake_index_compare_numeric(numeric, numeric, smallint, internal),
    STORAGE numeric;

CREATE FUNCTION deeplake_index_value_uuid(uuid, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_query_uuid
    (uuid, internal, smallint, internal, internal, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_consistent_uuid
    (internal, smallint, uuid, integer, internal, internal, internal, internal)
    RETURNS boolean LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'deeplake_index_consistent_exact';
CREATE OPERATOR CLASS deeplake_uuid_ops DEFAULT FOR TYPE uuid USING deeplake_index AS
    OPERATOR 3 =,
    FUNCTION 2 deeplake_index_value_uuid(uuid, internal, internal),
    FUNCTION 3 deeplake_index_query_uuid
        (uuid, internal, smallint, internal, internal, internal, internal),
    FUNCTION 4 deeplake_index_consistent_uuid
        (internal, smallint, uuid, integer, internal, internal, internal, internal);

CREATE FUNCTION deeplake_index_value_text(text, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
CREATE FUNCTION deeplake_index_query_text
    (text, internal, smallint, internal, internal, internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
-- Containment on text has no index: what @> means there is a scan's work.
CREATE OPERATOR CLASS deeplake_text_ops DEFAULT FOR TYPE text USING deeplake_index AS
    OPERATOR 1 <#> FOR ORDER BY float_ops,
    OPERATOR 3 =,
    FUNCTION 2 deeplake_index_value_text(text, internal, internal),
    FUNCTION 3 deeplake_index_query_text
        (text, internal, smallint, internal, internal, internal, internal),
    FUNCTION 4 deeplake_index_consistent_recheck
        (internal, smallint, text, integer, internal, internal, internal, internal),
    STORAGE int8;

CREATE OPERATOR CLASS deeplake_jsonb_ops DEFAULT FOR TYPE jsonb USING deeplake_index AS
    OPERATOR 7 @>, OPERATOR 9 ?(jsonb, text), OPERATOR 10 ?|(jsonb, text[]),
    OPERATOR 11 ?&(jsonb, text[]), OPERATOR 15 @?(jsonb, jsonpath),
    OPERATOR 16 @@(jsonb, jsonpath),
    FUNCTION 1 gin_compare_jsonb(text, text),
    FUNCTION 2 gin_extract_jsonb(jsonb, internal, internal),
    FUNCTION 3 gin_extract_jsonb_query
        (jsonb, internal, int2, internal, internal, internal, internal),
    FUNCTION 4 gin_consistent_jsonb
        (internal, int2, jsonb, int4, internal, internal, internal, internal),
    FUNCTION 6 gin_triconsistent_jsonb
        (internal, int2, jsonb, int4, internal, internal, internal),
    STORAGE text;

CREATE OPERATOR CLASS deeplake_vector_ops DEFAULT FOR TYPE float4[] USING deeplake_index AS
    OPERATOR 6 <#> FOR ORDER BY float_ops;

CREATE OPERATOR CLASS deeplake_hybrid_ops DEFAULT FOR TYPE deeplake_hybrid_record
    USING deeplake_index AS
    OPERATOR 1 <#>(deeplake_hybrid_record, deeplake_hybrid_record_weighted)
        FOR ORDER BY float_ops;

-- Keyword search: what an index of type bm25 does and has. For its owner.

CREATE FUNCTION deeplake_index_merge(index regclass) RETURNS void
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION deeplake_index_merge IS
    'makes one segment of a bm25 index, without what was deleted: its scores are exact then';

CREATE FUNCTION deeplake_bm25_statistics(index regclass, OUT n_documents bigint,
        OUT n_tokens bigint, OUT n_segments integer, OUT n_pending bigint, OUT n_dead bigint,
        OUT n_nulls bigint)
    LANGUAGE C VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'deeplake_bm25_statistics_sql';

-- Best first, then the rows whose text is NULL, n_most in all. Rows that are gone may be among
-- them. n_wanted: how many to look for at first; 0: unknown.
CREATE FUNCTION deeplake_bm25_entries(index regclass, query text, n_wanted bigint DEFAULT 0,
        n_most bigint DEFAULT 9223372036854775807)
    RETURNS TABLE (tid tid, score float4)
    LANGUAGE C VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';

CREATE FUNCTION deeplake_bm25_score(index regclass, query text, document text) RETURNS float4
    LANGUAGE C VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'deeplake_bm25_score_sql';

CREATE FUNCTION deeplake_bm25_tokens(tokenizer text, document text) RETURNS SETOF text
    LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
