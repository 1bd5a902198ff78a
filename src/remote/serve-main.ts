/** The process in which stages.ts runs what is in its table. */
import { serve } from './serve.ts';
import { STAGES } from './stages.ts';

serve(STAGES);
