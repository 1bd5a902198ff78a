/** The process that runs the stages of odd-stages.ts. */
import { serve } from '../../src/remote/serve.ts';
import { ODD_STAGES } from './odd-stages.ts';

serve(ODD_STAGES);
