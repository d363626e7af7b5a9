/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/topk/source.h"

#include "core/pg_deeplake/index.h"

#include <access/sysattr.h>
#include <access/table.h>
#include <catalog/partition.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <catalog/pg_proc.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/clauses.h>
#include <optimizer/optimizer.h>
#include <parser/parsetree.h>
#include <rewrite/rewriteManip.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/syscache.h>

/* Where a Var is looked up: a query, and the planner's view of it while it has one. */
typedef struct {
    PlannerInfo *root; /* NULL: a subquery that was not planned yet */
    Query *query;
} Level;

static Node *
strip(Node *value)
{
    while (value && IsA(value, RelabelType))
        value = (Node *)((RelabelType *)value)->arg;
    return value;
}

static bool
has_indexes(RangeTblEntry *entry)
{
    return entry->rtekind == RTE_RELATION &&
           (entry->relkind == RELKIND_RELATION || entry->relkind == RELKIND_MATVIEW ||
               entry->relkind == RELKIND_PARTITIONED_TABLE);
}

/* The query of a common table expression; NULL where its terms refer to itself. */
static Query *
query_of_cte(const Level *level, RangeTblEntry *entry)
{
    PlannerInfo *root = level->root;

    if (!root || entry->self_reference)
        return NULL;
    for (Index i = 0; i < entry->ctelevelsup && root; i++)
        root = root->parent_root;
    if (!root)
        return NULL;

    ListCell *cell;
    foreach (cell, root->parse->cteList) {
        CommonTableExpr *expression = lfirst(cell);
        if (strcmp(expression->ctename, entry->ctename) == 0 && !expression->cterecursive &&
            IsA(expression->ctequery, Query))
            return (Query *)expression->ctequery;
    }
    return NULL;
}

/* The table's column that a Var ends at. Below the query itself a table must be childless: the
 * row's own table is not at hand any more. */
static bool
follow(const Level *level, Var *var, bool is_below, DeeplakeSource *ret_source)
{
    if (var->varlevelsup != 0 || IS_SPECIAL_VARNO(var->varno) ||
        (int)var->varno > list_length(level->query->rtable))
        return false;

    RangeTblEntry *entry = rt_fetch(var->varno, level->query->rtable);
    Query *query = NULL;
    if (has_indexes(entry)) {
        if (var->varattno <= 0 || (is_below && has_subclass(entry->relid)))
            return false;
        ret_source->table = entry->relid;
        ret_source->column = var->varattno;
        return true;
    }
    if (entry->rtekind == RTE_JOIN && var->varattno > 0) {
        Node *joined = strip(list_nth(entry->joinaliasvars, var->varattno - 1));
        return joined && IsA(joined, Var) && follow(level, (Var *)joined, is_below, ret_source);
    }
    if (entry->rtekind == RTE_SUBQUERY)
        query = entry->subquery;
    else if (entry->rtekind == RTE_CTE)
        query = query_of_cte(level, entry);
    if (!query || query->setOperations || query->commandType != CMD_SELECT ||
        var->varattno <= 0 || var->varattno > list_length(query->targetList))
        return false;

    TargetEntry *target = list_nth(query->targetList, var->varattno - 1);
    Node *inner = strip((Node *)target->expr);
    Level below = {.root = NULL, .query = query};
    return inner && IsA(inner, Var) && follow(&below, (Var *)inner, true, ret_source);
}

/* tableoid of the row that a Var is of, or the table itself where it has no children. */
static Node *
row_table(PlannerInfo *root, Var *var, Oid table)
{
    RangeTblEntry *entry = rt_fetch(var->varno, root->parse->rtable);

    if (entry->rtekind != RTE_RELATION || !entry->inh)
        return (Node *)makeConst(
            OIDOID, -1, InvalidOid, sizeof(Oid), ObjectIdGetDatum(table), false, true);

    Var *oid = copyObject(var); /* in the same place of outer joins */
    oid->varattno = TableOidAttributeNumber;
    oid->vartype = OIDOID;
    oid->vartypmod = -1;
    oid->varcollid = InvalidOid;
    oid->varattnosyn = TableOidAttributeNumber;
    return (Node *)oid;
}

static bool
find_var(Node *node, Var **ret_var)
{
    if (!node)
        return false;
    if (IsA(node, Var) && ((Var *)node)->varlevelsup == 0) {
        *ret_var = (Var *)node;
        return true;
    }
    return expression_tree_walker(node, find_var, ret_var);
}

/* An expression over the columns of one table of the query itself. */
static bool
find_expression(PlannerInfo *root, Node *value, DeeplakeSource *ret_source)
{
    int relation;
    Var *var = NULL;

    if (contain_subplans(value) ||
        !bms_get_singleton_member(pull_varnos(root, value), &relation))
        return false;
    RangeTblEntry *entry = rt_fetch(relation, root->parse->rtable);
    if (!has_indexes(entry) || !find_var(value, &var))
        return false;

    ret_source->table = entry->relid;
    ret_source->column = 0;
    ret_source->expression = copyObject(value);
    ChangeVarNodes(ret_source->expression, relation, 1, 0);
    ret_source->row_table = row_table(root, var, entry->relid);
    return true;
}

bool
deeplake_source_find(PlannerInfo *root, Node *value, DeeplakeSource *ret_source)
{
    PlannerInfo *owner = root;

    memset(ret_source, 0, sizeof(*ret_source));
    value = strip(value);
    if (!root || !value)
        return false;
    if (!IsA(value, Var))
        return find_expression(root, value, ret_source);

    Var *var = (Var *)value;
    for (Index i = 0; i < var->varlevelsup && owner; i++)
        owner = owner->parent_root;
    if (!owner)
        return false;

    Var *there = copyObject(var);
    there->varlevelsup = 0;
    Level level = {.root = owner, .query = owner->parse};
    if (!follow(&level, there, false, ret_source))
        return false;
    ret_source->row_table = row_table(owner, var, ret_source->table);
    return true;
}

/* --- its index --- */

/* Statistics are of all rows, so a partial index is none. */
static bool
is_bm25(Relation index)
{
    return deeplake_index_is_ours(index) && index->rd_index->indisvalid &&
           heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL) &&
           deeplake_index_type(index) == DEEPLAKE_INDEX_BM25;
}

static bool
is_over(Relation index, const DeeplakeSource *source)
{
    if (source->column != 0)
        return index->rd_index->indkey.values[0] == source->column;
    return index->rd_index->indkey.values[0] == 0 &&
           equal(strip(linitial(RelationGetIndexExpressions(index))), source->expression);
}

Oid
deeplake_source_index(const DeeplakeSource *source)
{
    Oid found = InvalidOid;
    Relation table = table_open(source->table, AccessShareLock);
    List *indexes = RelationGetIndexList(table);
    ListCell *cell;

    foreach (cell, indexes) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        if (is_bm25(index) && is_over(index, source))
            found = lfirst_oid(cell);
        index_close(index, AccessShareLock);
        if (OidIsValid(found))
            break;
    }
    list_free(indexes);
    table_close(table, AccessShareLock);
    return found;
}

/* The child's column of the same name: partitions and inheritance alike. */
static Oid
index_by_name(Relation index, Oid table)
{
    AttrNumber column = index->rd_index->indkey.values[0];
    if (column == 0)
        return InvalidOid;

    char *name = get_attname(index->rd_index->indrelid, column, false);
    DeeplakeSource source = {.table = table, .column = get_attnum(table, name)};
    return source.column > 0 ? deeplake_source_index(&source) : InvalidOid;
}

static Oid
index_by_ancestor(Oid parent, Oid table)
{
    Oid found = InvalidOid;
    Relation relation = table_open(table, AccessShareLock);
    List *indexes = RelationGetIndexList(relation);
    ListCell *cell;

    foreach (cell, indexes) {
        Oid index = lfirst_oid(cell);
        if (get_rel_relispartition(index) &&
            list_member_oid(get_partition_ancestors(index), parent)) {
            found = index;
            break;
        }
    }
    list_free(indexes);
    table_close(relation, AccessShareLock);
    return found;
}

Oid
deeplake_source_child_index(Oid parent, Oid table)
{
    Relation index = index_open(parent, AccessShareLock);
    Oid found = parent;

    if (index->rd_index->indrelid != table) {
        found = index_by_ancestor(parent, table);
        if (!OidIsValid(found))
            found = index_by_name(index, table);
    }
    index_close(index, AccessShareLock);
    return found;
}

/* --- calls --- */

Node *
deeplake_source_call(Oid sibling, const char *name, List *arguments)
{
    Oid types[FUNC_MAX_ARGS];
    int n_arguments = 0;
    ListCell *cell;

    foreach (cell, arguments)
        types[n_arguments++] = exprType(lfirst(cell));
    Oid function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
        PointerGetDatum(buildoidvector(types, n_arguments)),
        ObjectIdGetDatum(get_func_namespace(sibling)));
    if (!OidIsValid(function))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                           errmsg("the function %s of extension pg_deeplake is missing", name),
                           errhint("DROP EXTENSION pg_deeplake, and create it again.")));

    /* A form that the grammar has for other functions only: the mark of a call of ours. */
    return (Node *)makeFuncExpr(
        function, FLOAT4OID, arguments, InvalidOid, InvalidOid, COERCE_SQL_SYNTAX);
}

void
deeplake_source_check_call(FunctionCallInfo fcinfo)
{
    Node *call = fcinfo->flinfo->fn_expr;

    if (!call || !IsA(call, FuncExpr) || ((FuncExpr *)call)->funcformat != COERCE_SQL_SYNTAX)
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                           errmsg("this function is called by plans of the operator <#> only"),
                           errhint("Write column <#> query.")));
}
