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

-- An empty array has no dimensions, and is no vector.
CREATE DOMAIN embedding AS float4[]
    CONSTRAINT embedding_has_one_dimension
    CHECK (VALUE IS NULL OR coalesce(array_ndims(VALUE), 0) = 1);
CREATE DOMAIN embedding_2d AS float4[]
    CONSTRAINT embedding_2d_has_two_dimensions
    CHECK (VALUE IS NULL OR coalesce(array_ndims(VALUE), 0) = 2);

-- Vectors. COST: that of 768 elements beside a cheap operator's, so that the planner takes
-- workers for large tables; most of it goes into fetching the vector from where it is toasted.

CREATE FUNCTION deeplake_similarity(float4[], float4[]) RETURNS float4
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME';
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
