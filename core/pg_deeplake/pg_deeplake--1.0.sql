-- SPDX-License-Identifier: Apache-2.0
\echo Use "CREATE EXTENSION pg_deeplake" to load this file. \quit
