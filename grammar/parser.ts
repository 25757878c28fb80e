/**
 * The grammar of `.ssl`, two tokens of lookahead and no backtracking, with recovery. Operators are parsed flat
 * (`operand (operator operand)*`) and given their precedence in `build-expression.ts`: the parser then recurses only
 * where brackets nest, so `mark-tokens.ts` can bound its depth.
 */
import { CstParser, type CstNode, type IRecognitionException, type IToken, type TokenType } from 'chevrotain';
import { expectationProvider, resetErrors, TooManyErrors } from './expectations.js';
import * as t from './tokens.js';

/** Closing brackets may be supplied when missing; nothing else is worth inventing. */
const insertable = new Set<TokenType>([t.ParenClose, t.BracketClose, t.BraceClose]);

class SslParser extends CstParser {
  constructor(validate: boolean) {
    super(t.vocabulary, {
      recoveryEnabled: true,
      maxLookahead: 2,
      nodeLocationTracking: 'onlyOffset',
      errorMessageProvider: expectationProvider,
      skipValidations: !validate,
    });
    this.performSelfAnalysis();
  }

  protected override canTokenTypeBeInsertedInRecovery(type: TokenType): boolean {
    return insertable.has(type);
  }

  // ---- declarations

  module = this.RULE('module', () => {
    this.MANY_SEP({ SEP: t.Separator, DEF: () => this.SUBRULE(this.declaration) });
  });

  declaration = this.RULE('declaration', () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.use) },
      { ALT: () => this.SUBRULE(this.model) },
      { ALT: () => this.SUBRULE(this.train) },
      { ALT: () => this.SUBRULE(this.functionDeclaration) },
    ]);
  });

  use = this.RULE('use', () => {
    this.CONSUME(t.Use);
    this.OR([
      { ALT: () => this.CONSUME(t.StringLiteral) },
      { ALT: () => this.AT_LEAST_ONE_SEP({ SEP: t.Dot, DEF: () => this.CONSUME(t.Word) }) },
    ]);
    this.CONSUME(t.BraceOpen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.useName) });
    this.CONSUME(t.BraceClose);
  });

  useName = this.RULE('useName', () => {
    this.CONSUME(t.Word, { LABEL: 'name' });
    this.OPTION(() => {
      this.CONSUME(t.As);
      this.CONSUME2(t.Word, { LABEL: 'as' });
    });
  });

  model = this.RULE('model', () => {
    this.CONSUME(t.Model);
    this.CONSUME(t.Word);
    this.OPTION(() => this.SUBRULE(this.parameters));
    this.SUBRULE(this.block);
  });

  functionDeclaration = this.RULE('functionDeclaration', () => {
    this.OR([{ ALT: () => this.CONSUME(t.Role) }, { ALT: () => this.CONSUME(t.View, { LABEL: 'Role' }) }]);
    this.CONSUME(t.Word);
    this.SUBRULE(this.functionTail);
  });

  functionTail = this.RULE('functionTail', () => {
    this.SUBRULE(this.parameters);
    this.OPTION(() => this.SUBRULE2(this.parameters));
    this.OPTION2(() => {
      this.CONSUME(t.Arrow);
      this.SUBRULE(this.type);
    });
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Assign);
          this.SUBRULE(this.expression);
        },
      },
      { ALT: () => this.SUBRULE(this.block) },
    ]);
  });

  parameters = this.RULE('parameters', () => {
    this.CONSUME(t.ParenOpen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.parameter) });
    this.CONSUME(t.ParenClose);
  });

  parameter = this.RULE('parameter', () => {
    this.CONSUME(t.Word);
    this.OPTION(() => {
      this.CONSUME(t.Colon);
      this.SUBRULE(this.type);
    });
    this.OPTION2(() => {
      this.CONSUME(t.In);
      this.SUBRULE(this.expression, { LABEL: 'within' });
    });
    this.OPTION3(() => {
      this.CONSUME(t.Assign);
      this.SUBRULE2(this.expression, { LABEL: 'default' });
    });
  });

  type = this.RULE('type', () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.dimensions) },
      {
        ALT: () => {
          this.CONSUME(t.ParenOpen);
          this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.type) });
          this.CONSUME(t.ParenClose);
        },
      },
      {
        ALT: () => {
          this.CONSUME(t.Word);
          this.OPTION(() => this.SUBRULE2(this.dimensions));
        },
      },
    ]);
  });

  dimensions = this.RULE('dimensions', () => {
    this.CONSUME(t.BracketOpen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.dimension) });
    this.CONSUME(t.BracketClose);
  });

  dimension = this.RULE('dimension', () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Star);
          this.CONSUME(t.Word);
        },
      },
      { ALT: () => this.SUBRULE(this.expression) },
    ]);
  });

  train = this.RULE('train', () => {
    this.CONSUME(t.Train);
    this.CONSUME(t.Word);
    this.OPTION(() => this.SUBRULE(this.callArguments));
    this.CONSUME(t.BraceOpen);
    this.MANY_SEP({ SEP: t.Separator, DEF: () => this.SUBRULE(this.trainItem) });
    this.CONSUME(t.BraceClose);
  });

  trainItem = this.RULE('trainItem', () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Every);
          this.SUBRULE(this.expression);
          this.CONSUME(t.BraceOpen);
          this.MANY_SEP({ SEP: t.Separator, DEF: () => this.SUBRULE2(this.expression, { LABEL: 'action' }) });
          this.CONSUME(t.BraceClose);
        },
      },
      { ALT: () => this.SUBRULE(this.parameterGroup) },
      { ALT: () => this.SUBRULE(this.entry) },
    ]);
  });

  entry = this.RULE('entry', () => {
    this.CONSUME(t.Word);
    this.SUBRULE(this.expression);
  });

  parameterGroup = this.RULE('parameterGroup', () => {
    this.CONSUME(t.Group);
    this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.parameterPath) });
    this.CONSUME(t.BraceOpen);
    this.MANY_SEP({ SEP: t.Separator, DEF: () => this.SUBRULE(this.entry) });
    this.CONSUME(t.BraceClose);
  });

  parameterPath = this.RULE('parameterPath', () => {
    this.CONSUME(t.Word);
    this.MANY(() => {
      this.CONSUME(t.Dot);
      this.CONSUME2(t.Word);
    });
  });

  // ---- statements

  block = this.RULE('block', () => {
    this.CONSUME(t.BraceOpen);
    this.MANY_SEP({ SEP: t.Separator, DEF: () => this.SUBRULE(this.statement) });
    this.CONSUME(t.BraceClose);
  });

  statement = this.RULE('statement', () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.letStatement) },
      { ALT: () => this.SUBRULE(this.ownStatement) },
      { ALT: () => this.SUBRULE(this.updateStatement) },
      { ALT: () => this.SUBRULE(this.repeatStatement) },
      { ALT: () => this.SUBRULE(this.inputStatement) },
      { ALT: () => this.SUBRULE(this.viewStatement) },
      { ALT: () => this.SUBRULE(this.netStatement) },
      { ALT: () => this.SUBRULE(this.latentStatement) },
      { ALT: () => this.SUBRULE(this.objectiveStatement) },
      { ALT: () => this.SUBRULE(this.representStatement) },
      { ALT: () => this.SUBRULE(this.stageStatement) },
      { ALT: () => this.SUBRULE(this.localStatement) },
      { ALT: () => this.SUBRULE(this.expressionStatement) },
    ]);
  });

  letStatement = this.RULE('letStatement', () => {
    this.CONSUME(t.Let);
    this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.binding) });
  });

  binding = this.RULE('binding', () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.ParenOpen);
          this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.CONSUME(t.Word) });
          this.CONSUME(t.ParenClose);
        },
      },
      {
        ALT: () => {
          this.CONSUME2(t.Word);
          this.OPTION(() => this.SUBRULE(this.brackets));
        },
      },
    ]);
    this.OR2([{ ALT: () => this.CONSUME(t.Assign) }, { ALT: () => this.CONSUME(t.Draw) }]);
    this.SUBRULE(this.expression);
  });

  ownStatement = this.RULE('ownStatement', () => {
    this.CONSUME(t.Owning);
    this.CONSUME(t.Word);
    this.CONSUME(t.Colon);
    this.SUBRULE(this.type);
    this.OR([{ ALT: () => this.CONSUME(t.Assign) }, { ALT: () => this.CONSUME(t.Draw) }]);
    this.SUBRULE(this.expression);
  });

  updateStatement = this.RULE('updateStatement', () => {
    this.CONSUME(t.Update);
    this.CONSUME(t.Word);
    this.CONSUME(t.Gets);
    this.SUBRULE(this.expression);
  });

  repeatStatement = this.RULE('repeatStatement', () => {
    this.CONSUME(t.Repeat);
    this.SUBRULE(this.expression);
    this.SUBRULE(this.block);
  });

  inputStatement = this.RULE('inputStatement', () => {
    this.CONSUME(t.Input);
    this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.typedName) });
  });

  typedName = this.RULE('typedName', () => {
    this.CONSUME(t.Word);
    this.CONSUME(t.Colon);
    this.SUBRULE(this.type);
  });

  viewStatement = this.RULE('viewStatement', () => {
    this.CONSUME(t.View);
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Word);
          this.SUBRULE(this.functionTail);
        },
      },
      {
        ALT: () => {
          this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.viewName) });
          this.CONSUME(t.Draw);
          this.SUBRULE(this.expression);
        },
      },
    ]);
  });

  viewName = this.RULE('viewName', () => {
    this.CONSUME(t.Word);
    this.OPTION(() => {
      this.CONSUME(t.BracketOpen);
      this.SUBRULE(this.expression);
      this.CONSUME(t.BracketClose);
    });
  });

  netStatement = this.RULE('netStatement', () => {
    this.OR([{ ALT: () => this.CONSUME(t.Net) }, { ALT: () => this.CONSUME(t.Target) }]);
    this.CONSUME(t.Word);
    this.CONSUME(t.Assign);
    this.SUBRULE(this.expression);
  });

  latentStatement = this.RULE('latentStatement', () => {
    this.CONSUME(t.Latent);
    this.CONSUME(t.Word);
    this.CONSUME(t.Colon);
    this.SUBRULE(this.type);
    this.OPTION(() => {
      this.CONSUME(t.In);
      this.SUBRULE(this.expression, { LABEL: 'within' });
    });
    this.CONSUME(t.Assign);
    this.CONSUME(t.Argmin);
    this.CONSUME2(t.Word, { LABEL: 'energy' });
    this.OPTION2(() => {
      this.CONSUME(t.From);
      this.SUBRULE2(this.expression, { LABEL: 'from' });
    });
    this.OPTION3(() => {
      this.CONSUME(t.Steps);
      this.SUBRULE3(this.expression, { LABEL: 'steps' });
      this.CONSUME(t.Rate);
      this.SUBRULE4(this.expression, { LABEL: 'rate' });
    });
    this.OPTION4(() => {
      this.CONSUME(t.By);
      this.SUBRULE5(this.expression, { LABEL: 'by' });
    });
  });

  objectiveStatement = this.RULE('objectiveStatement', () => {
    this.CONSUME(t.Objective);
    this.CONSUME(t.Word);
    this.CONSUME(t.Colon);
    this.SUBRULE(this.expression);
  });

  representStatement = this.RULE('representStatement', () => {
    this.CONSUME(t.Represent);
    this.SUBRULE(this.expression);
  });

  stageStatement = this.RULE('stageStatement', () => {
    this.CONSUME(t.Stage);
    this.CONSUME(t.Word);
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Every);
          this.SUBRULE(this.expression);
        },
      },
      { ALT: () => this.CONSUME(t.Once) },
    ]);
    this.CONSUME(t.BraceOpen);
    this.MANY_SEP({ SEP: t.Separator, DEF: () => this.SUBRULE(this.stageStep) });
    this.CONSUME(t.BraceClose);
  });

  stageStep = this.RULE('stageStep', () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.letStatement) },
      {
        ALT: () => {
          this.CONSUME(t.Reset);
          this.CONSUME(t.Word);
        },
      },
      {
        ALT: () => {
          this.CONSUME2(t.Word);
          this.CONSUME(t.Gets);
          this.SUBRULE(this.expression);
        },
      },
    ]);
  });

  localStatement = this.RULE('localStatement', () => {
    this.CONSUME(t.Role);
    this.CONSUME(t.Word);
    this.SUBRULE(this.functionTail);
  });

  /** A result, or the definition of a tensor by its elements: `y[i, j] = ...`. */
  expressionStatement = this.RULE('expressionStatement', () => {
    this.SUBRULE(this.expression, { LABEL: 'left' });
    this.OPTION(() => {
      this.CONSUME(t.Assign);
      this.SUBRULE2(this.expression, { LABEL: 'value' });
    });
  });

  // ---- expressions

  expression = this.RULE('expression', () => {
    this.SUBRULE(this.operand);
    this.MANY(() => {
      this.CONSUME(t.Infix);
      this.SUBRULE2(this.operand);
    });
  });

  operand = this.RULE('operand', () => {
    this.MANY(() => {
      this.OR([
        { ALT: () => this.CONSUME(t.Minus, { LABEL: 'prefix' }) },
        { ALT: () => this.CONSUME(t.Not, { LABEL: 'prefix' }) },
      ]);
    });
    this.SUBRULE(this.primary);
    this.MANY2(() => this.SUBRULE(this.postfix));
  });

  primary = this.RULE('primary', () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.NumberLiteral);
          this.OPTION(() => this.CONSUME(t.Unit));
        },
      },
      { ALT: () => this.CONSUME(t.StringLiteral) },
      { ALT: () => this.CONSUME(t.True) },
      { ALT: () => this.CONSUME(t.False) },
      { ALT: () => this.CONSUME(t.Word) },
      { ALT: () => this.SUBRULE(this.parenthesized) },
      { ALT: () => this.SUBRULE(this.list) },
      { ALT: () => this.SUBRULE(this.ifExpression) },
      { ALT: () => this.SUBRULE(this.block) },
    ]);
  });

  parenthesized = this.RULE('parenthesized', () => {
    this.CONSUME(t.ParenOpen);
    this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.expression) });
    this.CONSUME(t.ParenClose);
  });

  list = this.RULE('list', () => {
    this.CONSUME(t.BracketOpen);
    this.OPTION(() => {
      this.SUBRULE(this.expression, { LABEL: 'item' });
      this.OR([
        {
          ALT: () => {
            this.CONSUME(t.For);
            this.CONSUME(t.Word);
            this.CONSUME(t.In);
            this.SUBRULE2(this.expression, { LABEL: 'source' });
            this.OPTION2(() => {
              this.CONSUME(t.Where);
              this.SUBRULE3(this.expression, { LABEL: 'where' });
            });
          },
        },
        {
          ALT: () =>
            this.MANY(() => {
              this.CONSUME(t.Comma);
              this.SUBRULE4(this.expression, { LABEL: 'item' });
            }),
        },
      ]);
    });
    this.CONSUME(t.BracketClose);
  });

  ifExpression = this.RULE('ifExpression', () => {
    this.CONSUME(t.If);
    this.SUBRULE(this.expression);
    this.SUBRULE(this.block);
    this.MANY(() => {
      this.CONSUME(t.Else);
      this.CONSUME2(t.If);
      this.SUBRULE2(this.expression);
      this.SUBRULE2(this.block);
    });
    this.OPTION(() => {
      this.CONSUME2(t.Else);
      this.SUBRULE3(this.block, { LABEL: 'otherwise' });
    });
  });

  postfix = this.RULE('postfix', () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Dot);
          this.CONSUME(t.Word);
        },
      },
      { ALT: () => this.SUBRULE(this.callArguments) },
      { ALT: () => this.SUBRULE(this.brackets) },
    ]);
  });

  callArguments = this.RULE('callArguments', () => {
    this.CONSUME(t.ParenOpen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.argument) });
    this.CONSUME(t.ParenClose);
  });

  argument = this.RULE('argument', () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Word);
          this.CONSUME(t.Colon);
          this.SUBRULE(this.expression);
        },
      },
      { ALT: () => this.SUBRULE2(this.expression) },
    ]);
  });

  /** Indices (`x[i, j]`) or binders (`sum[d: 3 where d != i]`): which of them, what follows decides. */
  brackets = this.RULE('brackets', () => {
    this.CONSUME(t.BracketOpen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.bracketItem) });
    this.OPTION(() => {
      this.CONSUME(t.Where);
      this.SUBRULE(this.expression, { LABEL: 'where' });
    });
    this.CONSUME(t.BracketClose);
  });

  bracketItem = this.RULE('bracketItem', () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Star);
          this.CONSUME(t.Word);
        },
      },
      {
        ALT: () => {
          this.SUBRULE(this.expression, { LABEL: 'index' });
          this.OPTION(() => {
            this.OR2([{ ALT: () => this.CONSUME(t.Colon) }, { ALT: () => this.CONSUME(t.In) }]);
            this.SUBRULE2(this.expression, { LABEL: 'extent' });
          });
        },
      },
    ]);
  });
}

let shared: SslParser | null = null;

/** Parses marked tokens to a concrete syntax tree (null after too many errors) and the errors met. */
export function parseTokens(tokens: IToken[]): { readonly tree: CstNode | null; readonly errors: readonly IRecognitionException[] } {
  shared ??= new SslParser(false);
  resetErrors();
  shared.input = tokens;
  try {
    const tree = shared.module();
    return { tree, errors: shared.errors };
  } catch (error) {
    if (!(error instanceof TooManyErrors)) throw error;
    return { tree: null, errors: shared.errors };
  }
}

/** One part of a rule, as chevrotain describes it. */
export interface Production {
  readonly type: string;
  readonly name?: string;
  readonly definition?: readonly Production[];
  readonly separator?: { readonly name: string };
}

/** The rules as data, in the order they are written. */
export function serializedGrammar(): readonly Production[] {
  shared ??= new SslParser(false);
  return shared.getSerializedGastProductions();
}

/** Builds the parser with chevrotain's own checks of the grammar (left recursion, ambiguity); for tests. */
export function validateGrammar(): void {
  new SslParser(true);
}
